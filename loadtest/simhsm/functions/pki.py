"""Certificates. Public is RCCN's ``RN31`` (PEM to DER); all other tags are invented.

``RC`` is a private key, ``RT`` a certificate and ``RQ`` a request (DER in hex), ``SU`` a Common Name.
"""

from __future__ import annotations

import datetime
import os

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from loadtest.simhsm.call import Call
from loadtest.simhsm.key import PRIVATE, Key, KeyKind, PublicKey, Usage, public_bytes
from loadtest.simhsm.refusal import invalid
from loadtest.simhsm.registry import Fields, function


@function("ASGC")
def asgc(call: Call) -> Fields:
    """A self-signed certificate for ``RC``: ``SU``, ``DY`` days -> ``RT``."""
    key = call.key("RC", Usage.SIGN, PRIVATE).private()
    name = _name(call)
    certificate = _builder(call, name, name, key.public_key()).sign(key, hashes.SHA256())
    return {"RT": _hex(certificate.public_bytes(Encoding.DER))}


@function("ASYR")
def asyr(call: Call) -> Fields:
    """A PKCS #10 request for ``RC``: ``SU`` -> ``RQ``."""
    key = call.key("RC", Usage.SIGN, PRIVATE).private()
    request = x509.CertificateSigningRequestBuilder(_name(call)).sign(key, hashes.SHA256())
    return {"RQ": _hex(request.public_bytes(Encoding.DER))}


@function("ASSR")
def assr(call: Call) -> Fields:
    """Sign request ``RQ`` with ``RC``, whose certificate is ``RT``: ``DY`` days -> ``RT``."""
    key = call.key("RC", Usage.SIGN, PRIVATE).private()
    issuer = _certificate(call, "RT")
    try:
        request = x509.load_der_x509_csr(call.octets("RQ"))
    except ValueError:
        raise invalid("RQ") from None
    public = request.public_key()
    if not request.is_signature_valid or not isinstance(public, PublicKey):
        raise invalid("RQ")
    certificate = _builder(call, request.subject, issuer.subject, public).sign(key, hashes.SHA256())
    return {"RT": _hex(certificate.public_bytes(Encoding.DER))}


@function("AVPC")
def avpc(call: Call) -> Fields:
    """Verify certificate ``RT`` against its issuer's ``RI`` -> ``BBY`` and ``RP``, a trusted public key; or ``BBN``."""
    certificate, issuer = _certificate(call, "RT"), _certificate(call, "RI")
    public = certificate.public_key()
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return {"BB": "N"}
    if not isinstance(public, PublicKey):
        raise invalid("RT")
    return {"BB": "Y", "RP": call.hsm.major_key.wrap(Key(KeyKind.PUBLIC, public_bytes(public)))}


@function("RCCN")
def rccn(call: Call) -> Fields:
    """Another encoding of certificate ``RT``, all in hex: ``RN31`` PEM to DER, ``RN13`` DER to PEM -> ``RT``."""
    direction = call.text("RN")
    if direction not in ("31", "13"):
        raise invalid("RN")
    try:
        if direction == "31":
            return {"RT": _hex(x509.load_pem_x509_certificate(call.octets("RT")).public_bytes(Encoding.DER))}
    except ValueError:
        raise invalid("RT") from None
    return {"RT": _hex(_certificate(call, "RT").public_bytes(Encoding.PEM))}


def _builder(call: Call, subject: x509.Name, issuer: x509.Name, public: PublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=call.hsm.clock_offset)
    return (
        x509.CertificateBuilder(issuer, subject, public)
        .serial_number(int.from_bytes(os.urandom(16), "big") >> 1)
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=call.number("DY", 365, low=1, high=10_000)))
    )


def _name(call: Call) -> x509.Name:
    try:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, call.text("SU"))])
    except ValueError:
        raise invalid("SU") from None


def _certificate(call: Call, tag: str) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(call.octets(tag))
    except ValueError:
        raise invalid(tag) from None


def _hex(data: bytes) -> str:
    return data.hex().upper()
