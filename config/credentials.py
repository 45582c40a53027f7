"""Certificates, private keys and revocation lists, read from the files a configuration names.

What a file holds is told from its content, never from its name: PEM, DER or PKCS #12. Everything that is wrong is a
`CredentialError` for people. Nothing here prints, keeps or repeats a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key, pkcs12

_LARGEST: Final = 64 * 1_048_576  # no list of a real CA is longer; keeps a device file from filling the memory
_PEM: Final = b"-----BEGIN "
_KEY_TYPES: Final = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)
_SAMPLE: Final = b"does this key work?"
_SMALLEST_RSA: Final = 2048  # bits; OpenSSL at security level 2, the usual default, refuses smaller ones

T = TypeVar("T")
Load = Callable[[bytes, bytes | None], T]  # how cryptography reads something that a password may protect


class CredentialError(Exception):
    """A file cannot be used. The message names it, says what is wrong and what would be right, and no secret."""


@attrs.frozen
class Credentials:
    """What one side shows of itself."""

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]  # the issuer of `certificate` first, as far as the files had them
    key: PrivateKeyTypes = attrs.field(repr=False)


@attrs.frozen
class Words:
    """What a file that names a key and its password calls them, for what people are told."""

    key: str = "name its file with 'key:'"
    unlock: str = "put its password into a file and name that with 'key_password_file:'"


_OF_YAML: Final = Words()


def load_credentials(certificate: Path, key: Path | None, password_file: Path | None) -> Credentials:
    """As `unlock_credentials`; the password is the first line of its file. Raises `CredentialError`."""
    return unlock_credentials(certificate, key, _password(password_file), _OF_YAML)


def unlock_credentials(certificate: Path, key: Path | None, password: bytes | None, words: Words) -> Credentials:
    """Read a certificate with its chain, and the private key that belongs to it.

    ``certificate`` is PEM (leaf first, chain after), DER or PKCS #12; ``key`` is PEM (PKCS #1, SEC 1, PKCS #8,
    encrypted or not), DER or PKCS #12, and by default in the certificate's file. A password that nothing needs is left
    alone.
    Raises `CredentialError`.
    """
    data = _read(certificate)
    found: PrivateKeyTypes | None = None
    chain: tuple[x509.Certificate, ...]
    if _is_pkcs12(data):
        bag = _unlock(pkcs12.load_pkcs12, data, password, certificate, "PKCS #12 file", words)
        if bag.cert is None:
            raise CredentialError(f"{certificate}: holds no certificate for a private key; export it with the key")
        leaf = bag.cert.certificate
        chain = _in_order(leaf, [extra.certificate for extra in bag.additional_certs])
        _check(certificate, [leaf, *chain])
        found = bag.key
    else:
        leaf, *rest = _certificates(certificate, data)
        chain = tuple(rest)
    if key is not None:
        found = _private_key(key, _read(key), password, words)
    elif found is None:
        if not _has_pem_key(data):
            raise CredentialError(f"{certificate}: holds no private key; {words.key}")
        found = _private_key(certificate, data, password, words)
    _check_pair(certificate, key or certificate, [leaf, *chain], found)
    return Credentials(leaf, chain, found)


def load_certificates(paths: Sequence[Path]) -> tuple[x509.Certificate, ...]:
    """All certificates of these files, PEM (many in a file) or DER. Raises `CredentialError`."""
    return tuple(certificate for path in paths for certificate in _certificates(path, _read(path)))


def load_crls(paths: Sequence[Path]) -> tuple[x509.CertificateRevocationList, ...]:
    """All revocation lists of these files, PEM (many in a file) or DER. Raises `CredentialError`."""
    return tuple(crl for path in paths for crl in _crls(path, _read(path)))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as exc:
        raise CredentialError(f"{path}: cannot be read: {(exc.strerror or type(exc).__name__).lower()}") from exc
    if len(data) > _LARGEST:
        raise CredentialError(
            f"{path}: has more than {_LARGEST // 1_048_576} MiB; no file of credentials is that large"
        )
    if not data.strip():
        raise CredentialError(f"{path}: is empty")
    return data


def _password(path: Path | None) -> bytes | None:
    """The first line of the file; an editor's last newline is no part of it."""
    if path is None:
        return None
    lines = _read(path).splitlines()
    if len(lines) > 1:
        raise CredentialError(f"{path}: has {len(lines)} lines; a password file has the password and nothing else")
    return lines[0]


def _is_pkcs12(data: bytes) -> bool:
    """A PKCS #12 file is a DER sequence that starts with version 3; a certificate starts with another sequence."""
    if data[:1] != b"\x30" or len(data) < 2:
        return False
    length_bytes = data[1] & 0x7F if data[1] & 0x80 else 0
    return data[2 + length_bytes : 5 + length_bytes] == b"\x02\x01\x03"


def _pem_labels(data: bytes) -> list[str]:
    return [part.partition(b"-----")[0].decode("ascii", "replace") for part in data.split(_PEM)[1:]]


def _has_pem_key(data: bytes) -> bool:
    return any(label.endswith("PRIVATE KEY") for label in _pem_labels(data))


def _certificates(path: Path, data: bytes) -> list[x509.Certificate]:
    """At least one certificate, each of them readable to its end."""
    if _is_pkcs12(data):
        raise CredentialError(f"{path}: is a PKCS #12 file; certificates of others must be PEM or DER")
    labels = _pem_labels(data)
    if labels and not any(label.endswith("CERTIFICATE") for label in labels):
        raise CredentialError(f"{path}: holds {_listed(labels)} and no CERTIFICATE")
    try:
        found = x509.load_pem_x509_certificates(data) if labels else [x509.load_der_x509_certificate(data)]
    except ValueError as exc:
        raise CredentialError(f"{path}: {_damaged(labels)}; it must be a certificate in PEM or DER") from exc
    _check(path, found)
    return found


def _check(path: Path, certificates: Iterable[x509.Certificate]) -> None:
    """cryptography parses late: touch now what is used later, so that nothing fails while serving."""
    for certificate in certificates:
        try:
            _ = certificate.subject, certificate.issuer, certificate.extensions, certificate.not_valid_after_utc
            certificate.public_key()
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise CredentialError(f"{path}: a certificate in it is malformed: {exc}") from exc


def _crls(path: Path, data: bytes) -> list[x509.CertificateRevocationList]:
    labels = _pem_labels(data)
    if labels and "X509 CRL" not in labels:
        raise CredentialError(f"{path}: holds {_listed(labels)} and no X509 CRL")
    try:
        if labels:
            blocks = [_PEM + part for part in data.split(_PEM)[1:] if part.startswith(b"X509 CRL-----")]
            found = [x509.load_pem_x509_crl(block) for block in blocks]
        else:
            found = [x509.load_der_x509_crl(data)]
        for crl in found:
            _ = crl.issuer, crl.extensions, crl.next_update_utc, len(crl)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise CredentialError(f"{path}: {_damaged(labels)}; it must be a revocation list in PEM or DER") from exc
    return found


def _private_key(path: Path, data: bytes, password: bytes | None, words: Words) -> PrivateKeyTypes:
    if _is_pkcs12(data):
        found = _unlock(pkcs12.load_pkcs12, data, password, path, "PKCS #12 file", words).key
        if found is None:
            raise CredentialError(f"{path}: holds no private key; export it together with the certificate")
        return found
    labels = _pem_labels(data)
    if not labels:
        return _unlock(_load_der, data, password, path, "private key", words)
    if not _has_pem_key(data):
        raise CredentialError(f"{path}: holds {_listed(labels)} and no PRIVATE KEY")
    # OpenSSL writes EC PARAMETERS before a SEC 1 key, and many files have the certificate first.
    block = next(_PEM + part for part in data.split(_PEM)[1:] if part.partition(b"-----")[0].endswith(b"PRIVATE KEY"))
    return _unlock(_load_pem, block, password, path, "private key", words)


# Not validated here: looking for flaws in an RSA key takes 60 ms, and a reload may load many on the proxy's one loop.
# `_check_pair` has it sign instead, which takes one.
def _load_pem(data: bytes, password: bytes | None) -> PrivateKeyTypes:
    return load_pem_private_key(data, password, unsafe_skip_rsa_key_validation=True)


def _load_der(data: bytes, password: bytes | None) -> PrivateKeyTypes:
    return load_der_private_key(data, password, unsafe_skip_rsa_key_validation=True)


def _unlock(load: Load[T], data: bytes, password: bytes | None, path: Path, what: str, words: Words) -> T:
    """Read something that a password may protect, and say which of password and content is wrong."""
    try:
        return load(data, password)
    except TypeError as exc:  # cryptography's way to say: encrypted and no password, or the reverse
        if password is not None:
            return _unlock(load, data, None, path, what, words)
        raise CredentialError(f"{path}: the {what} is encrypted and no password is given; {words.unlock}") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise CredentialError(f"{path}: {_locked(exc, password, what, words)}") from exc


def _locked(error: Exception, password: bytes | None, what: str, words: Words) -> str:
    if "password" not in str(error).lower():
        return f"the {what} is damaged or of a kind that is not supported"
    if password is None:
        return f"the {what} needs a password and none is given, or it is damaged; {words.unlock}"
    return f"the password does not open the {what}, or it is damaged"


def _check_pair(certificate: Path, key: Path, chain: Sequence[x509.Certificate], found: PrivateKeyTypes) -> None:
    if not isinstance(found, _KEY_TYPES):
        raise CredentialError(f"{key}: TLS needs an RSA, ECDSA or EdDSA key, this is another kind")
    if isinstance(found, rsa.RSAPrivateKey) and found.key_size < _SMALLEST_RSA:
        raise CredentialError(f"{key}: an RSA key of {found.key_size} bits is too weak; it needs {_SMALLEST_RSA}")
    public = found.public_key()
    if chain[0].public_key() == public:
        if isinstance(found, rsa.RSAPrivateKey) and not _signs(found):
            raise CredentialError(f"{key}: the key is damaged: what it signs cannot be verified")
        return
    for place, other in enumerate(chain[1:], start=2):
        if other.public_key() == public:
            raise CredentialError(f"{certificate}: the key's certificate is number {place} in it and must be the first")
    raise CredentialError(
        f"{key}: the key does not belong to the certificate "
        f"({chain[0].subject.rfc4514_string() or 'without subject'}) in {certificate}"
    )


def _signs(key: rsa.RSAPrivateKey) -> bool:
    try:
        signature = key.sign(_SAMPLE, padding.PKCS1v15(), hashes.SHA256())
        key.public_key().verify(signature, _SAMPLE, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _in_order(leaf: x509.Certificate, others: list[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """PKCS #12 keeps its certificates in any order; TLS wants each followed by its issuer."""
    chain = [leaf]
    rest = list(others)
    while True:
        issuer = next((other for other in rest if other.subject == chain[-1].issuer), None)
        if issuer is None:
            return tuple(chain[1:])
        rest.remove(issuer)
        chain.append(issuer)


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(labels))


def _damaged(labels: Sequence[str]) -> str:
    return "its PEM is damaged" if labels else "is neither PEM nor DER, or damaged"
