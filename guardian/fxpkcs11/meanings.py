"""What a step of a connection that failed usually means, and what to do. Pure: tables of what was seen."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

_OF_ALERTS: Final[Mapping[str, str]] = {  # a part of OpenSSL's reason -> its meaning
    "UNKNOWN_CA": "the listener does not believe the CA of PROD-TLS-CERT: its tls.ca must have signed it",
    "CERTIFICATE_REQUIRED": "the listener wants a client certificate, and none was shown: PROD-TLS-ANONYMOUS must be "
    "NO, with PROD-TLS-CERT and PROD-TLS-KEY",
    "CERTIFICATE_EXPIRED": "PROD-TLS-CERT has expired, or a clock is wrong",
    "CERTIFICATE_REVOKED": "PROD-TLS-CERT is on the listener's revocation list (tls.crl)",
    "CERTIFICATE_UNKNOWN": "the listener does not accept PROD-TLS-CERT; its log says why (client refused)",
    "UNSUPPORTED_CERTIFICATE": "PROD-TLS-CERT is not for clients: its extendedKeyUsage must have clientAuth",
    "BAD_CERTIFICATE": "the listener does not accept PROD-TLS-CERT, or its revocation list is out of date; "
    "its log says which (client refused)",
    "ACCESS_DENIED": "the listener knows the client and does not let it in; its log says why (client refused)",
    "HANDSHAKE_FAILURE": "both sides have nothing in common (TLS 1.2 with ECDHE or DHE and GCM, or 1.3), or a client "
    "certificate is wanted and none was shown",
    "PROTOCOL_VERSION": "the listener speaks newer TLS only (tls.min_version)",
    "WRONG_VERSION_NUMBER": "what answers there speaks no TLS: the listener's mode is clear, or the port is another's",
    "RECORD_LAYER_FAILURE": "what answers there speaks no TLS: the listener's mode is clear, or the port is another's",
    "HTTP_REQUEST": "a web server answers there: the port is another's",
    "INTERNAL_ERROR": "the listener's certificate, key or revocation list cannot be used; its log says more",
}
_OF_ERRORS: Final[Mapping[str, str]] = {  # AM of an answer of the proxy's own, by default
    "901": "the client's rules block even ECHO: see functions of its group, and of its clients",
    "902": "the proxy works, and no device of the group serves: see `guardian status` and `guardian doctor`",
    "904": "the proxy works, and all its devices are busy",
    "905": "the proxy works, and the device did not answer in time",
    "908": "the proxy is shutting down",
}


def meaning_of_tcp(exc: OSError, port: int) -> str:
    if isinstance(exc, ConnectionRefusedError):
        return f"nobody listens there: is the proxy running, and is {port} a port of a listener (listeners[].bind)?"
    if isinstance(exc, TimeoutError):
        return "a firewall drops it, the host is down, or ADDRESS is another's"
    return "there is no way to that address from this machine: its network, a route, a firewall"


def meaning_of_tls(exc: Exception) -> str:
    """Of a handshake that failed, or of a connection that was refused just after it."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        if "expired" in exc.verify_message or "not yet valid" in exc.verify_message:
            return "the listener's certificate, or a CA's, is not valid today: renew it, or mend this machine's clock"
        return (
            "PROD-TLS-CA is not the CA of what answers there: take the listener's, of the same tree (RSA or ECC); or "
            "it is not the proxy that answers"
        )
    if isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLEOFError):
        reason = exc.reason or ""
        for part, meaning in _OF_ALERTS.items():
            if part in reason:
                return meaning
        return "the listener's log says what it did not like (client refused)"
    if isinstance(exc, TimeoutError):
        return "what answers there says nothing: it speaks no TLS, or all its handshakes are taken"
    return (
        "the listener closed: it refused the certificate, no rule of the group matches it (unmatched: refuse), or a "
        "limit is reached; its log says which (client refused). Or what answers there speaks no TLS"
    )


def meaning_of_silence(*, encrypted: bool, closed: bool = False) -> str:
    if not encrypted:
        return "the listener speaks TLS and this client does not: PROD-TLS-ENABLED must be YES; or it is no listener"
    if closed:
        return (
            "the listener let nobody in: PROD-TLS-CERT without clientAuth, no rule of the group that matches "
            "(unmatched: refuse), or a limit; its log says which (client refused)"
        )
    return "it is no listener of a proxy, or it wants a length before each message (framing)"


def meaning_of_answer(answer: bytes, request: bytes) -> str:
    """Empty where it answers an ECHO. No value of a field gets into the text, but the number of an error."""
    message = answer.strip()
    if message.startswith(b"[AOECHO;"):
        echoed = b"AG" + request.partition(b";AG")[2].partition(b";")[0]
        if echoed in message.rstrip(b"]").split(b";"):
            return ""
        return "the device does not repeat AG: what the proxy verifies by it cannot be verified (context)"
    if message.startswith(b"[AOERRO;"):
        fields = [field for field in message.split(b";") if field[:2] == b"AM"]
        number = fields[0][2:].decode("ascii", "replace") if fields else ""
        if number in _OF_ERRORS:
            return f"error {number}: {_OF_ERRORS[number]}"
        shown = number if number.isdigit() and len(number) < 6 else "without a number"
        return f"error {shown}: it comes from the device; does it open ECHO before login?"
    if answer[:1] == b"\x15":
        return "a TLS alert: the listener speaks TLS and this client does not: PROD-TLS-ENABLED must be YES"
    return "no Excrypt message: what answers there is no proxy and no HSM"
