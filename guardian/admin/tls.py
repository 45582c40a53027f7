"""TLS of the admin port."""

from __future__ import annotations

import ssl

from cryptography import x509

from config.model import AdminTls


def server_context(tls: AdminTls) -> ssl.SSLContext:
    """The context of a server that shows `tls.certificate`, and asks for a client's where `tls.ca` is given.

    TLS 1.3 only, without tickets: a resumed session would skip the check of the client's certificate. Raises OSError
    (also ssl.SSLError) or ValueError when a file cannot be read or used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    password = tls.key_password_file.read_text().rstrip("\r\n") if tls.key_password_file else ""
    # An empty password and not None: OpenSSL would ask for one on the terminal.
    context.load_cert_chain(tls.certificate, tls.key, password)
    if tls.ca:
        context.verify_mode = ssl.CERT_REQUIRED
        for file in tls.ca:
            context.load_verify_locations(file)
    return context


def certificate_names(tls: AdminTls) -> list[str]:
    """The names and addresses that the certificate is for: by these a browser may call this server.

    Raises OSError or ValueError when the file cannot be read or used.
    """
    leaf = x509.load_pem_x509_certificates(tls.certificate.read_bytes())[0]
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = names.get_values_for_type(x509.IPAddress)
    return [*names.get_values_for_type(x509.DNSName), *(str(address) for address in addresses)]
