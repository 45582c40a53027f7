"""What a failed step means: each alert that OpenSSL has a name for, and answers that are none."""

from __future__ import annotations

import ssl

import pytest

from guardian.fxpkcs11.meanings import meaning_of_answer, meaning_of_silence, meaning_of_tcp, meaning_of_tls

ECHO = b"[AOECHO;AGhi;]"


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "[SSL] a text of OpenSSL's")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("reason", "part"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", "tls.ca must have signed it"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "PROD-TLS-ANONYMOUS must be NO"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "has expired"),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "revocation list"),
        ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "log says why"),
        ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "clientAuth"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "out of date"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "nothing in common"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "tls.min_version"),
        ("WRONG_VERSION_NUMBER", "speaks no TLS"),
        ("HTTP_REQUEST", "web server"),
        ("SOMETHING_OF_TOMORROW", "log says"),
        ("", "log says"),
    ],
)
def test_an_alert_has_a_meaning_of_its_own(reason: str, part: str) -> None:
    assert part in meaning_of_tls(tls_error(reason))


def test_other_ends_of_a_handshake() -> None:
    assert "speaks no TLS" in meaning_of_tls(TimeoutError())
    assert "the listener closed" in meaning_of_tls(ConnectionResetError())
    assert "the listener closed" in meaning_of_tls(ssl.SSLEOFError(8, "EOF"))
    stranger = ssl.SSLCertVerificationError(1, "x")
    stranger.verify_message = "unable to get local issuer certificate"
    assert "PROD-TLS-CA is not the CA" in meaning_of_tls(stranger)
    stranger.verify_message = "certificate has expired"
    assert "is not valid today" in meaning_of_tls(stranger)


def test_a_connection_that_cannot_be_made() -> None:
    assert "is 9100 a port of a listener" in meaning_of_tcp(ConnectionRefusedError(), 9100)
    assert "firewall" in meaning_of_tcp(TimeoutError(), 9100)
    assert "no way" in meaning_of_tcp(OSError(101, "unreachable"), 9100)


def test_silence() -> None:
    assert "PROD-TLS-ENABLED must be YES" in meaning_of_silence(encrypted=False)
    assert "unmatched: refuse" in meaning_of_silence(encrypted=True, closed=True)
    assert "framing" in meaning_of_silence(encrypted=True)


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (b"[AOECHO;AGhi;]", ""),
        (b"\r\n[AOECHO;MDmodel;AGhi]", ""),
        (b"[AOECHO;AGhi2;]", "does not repeat AG"),
        (b"[AOECHO;]", "does not repeat AG"),
        (b"[AOERRO;AM901;ANAO;BBFUNCTION BLOCKED;AGhi;]", "error 901: the client's rules block even ECHO"),
        (b"[AOERRO;AM902;]", "error 902: the proxy works, and no device"),
        (b"[AOERRO;AM34;ANAO;BBINVALID TOKEN;]", "error 34: it comes from the device"),
        (b"[AOERRO;BBx;]", "error without a number"),
        (b"\x15\x03\x03\x00\x02\x02\x32", "a TLS alert"),
        (b"SSH-2.0-OpenSSH", "no Excrypt message"),
    ],
)
def test_an_answer(answer: bytes, part: str) -> None:
    found = meaning_of_answer(answer, ECHO)
    assert found.startswith(part) or part in found
    assert bool(found) is bool(part)
    assert "INVALID TOKEN" not in found
