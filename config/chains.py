"""Who signed a certificate: the chain from it to a CA, judged without sockets or clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

_LONGEST: Final = 8  # certificates between a leaf and its root; real trees have one or two


def chain_to(
    leaf: x509.Certificate, between: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...] | None:
    """The certificates from ``leaf`` to one of ``roots``, both included; None where none of them vouches for it.

    Signatures and names only: dates, purposes and revocation are somebody else's question.
    """
    chain = [leaf]
    while len(chain) <= _LONGEST:
        last = chain[-1]
        if last in roots:
            return tuple(chain)
        root = next((each for each in roots if signed_by(last, each)), None)
        if root is not None:
            return (*chain, root)
        link = next((each for each in between if each not in chain and signed_by(last, each)), None)
        if link is None:
            return None
        chain.append(link)
    return None


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def tree(certificate: x509.Certificate) -> str:
    """The kind of the keys of its tree, as the vendor's guides call it."""
    key = certificate.public_key()
    return (
        "RSA" if isinstance(key, rsa.RSAPublicKey) else "ECC" if isinstance(key, ec.EllipticCurvePublicKey) else "other"
    )
