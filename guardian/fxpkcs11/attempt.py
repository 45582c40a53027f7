"""Connects as the client would: TCP, TLS with its own key and certificate, one ECHO; and says which step failed.

It blocks, and sends nothing but `[AOECHO;AGhi;]`, which is open before login and changes nothing.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Final

import attrs

from .meanings import meaning_of_answer, meaning_of_silence, meaning_of_tcp, meaning_of_tls

REQUEST: Final = b"[AOECHO;AGhi;]"
_LONGEST: Final = 65_536  # bytes of an answer
_ALERT: Final = 0.3  # seconds; a refusal comes within one round trip


class Step(enum.Enum):
    """The steps of a connection, in their order."""

    RESOLVE = "name"
    CONNECT = "TCP"
    TLS = "TLS"
    ECHO = "ECHO"


@attrs.frozen(kw_only=True)
class Done:
    """A step, and what came of it. ``meaning`` is what a failure usually means; empty where it succeeded."""

    step: Step
    good: bool
    told: str
    meaning: str = ""


def attempt(host: str, port: int, context: ssl.SSLContext | None, timeout: float) -> Iterator[Done]:
    """Try each step within ``timeout`` seconds; the last one that is given has failed, or is `Step.ECHO`.

    ``context``: the client's, or None for a connection without TLS.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as exc:  # a name that IDNA cannot encode, or with a NUL, is no OSError
        why = getattr(exc, "strerror", None) or "it is no host name"
        yield Done(step=Step.RESOLVE, good=False, told=f"{host} has no address: {why}",
                   meaning="the name is not in DNS or /etc/hosts of this machine, or is misspelt")  # fmt: skip
        return
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    yield Done(step=Step.RESOLVE, good=True, told=f"{host} is {', '.join(addresses)}")
    with contextlib.ExitStack() as stack:
        try:
            sock = stack.enter_context(socket.create_connection((host, port), timeout))
        except OSError as exc:
            yield Done(step=Step.CONNECT, good=False, told=_reason(exc), meaning=meaning_of_tcp(exc, port))
            return
        yield Done(step=Step.CONNECT, good=True, told=f"connected to {sock.getpeername()[0]} port {port}")
        if context is not None:
            try:
                sock = stack.enter_context(context.wrap_socket(sock, server_hostname=host))
            except (OSError, ValueError) as exc:
                yield Done(step=Step.TLS, good=False, told=_reason(exc), meaning=meaning_of_tls(exc))
                return
            yield Done(step=Step.TLS, good=True, told=_agreed(sock))
        yield _echo(sock, timeout)


def _echo(sock: socket.socket, timeout: float) -> Done:
    """In TLS 1.3 a client hears only now that it was refused.

    So it listens first: what is sent to a closed socket is answered with a reset, and the alert is lost with it.
    """
    encrypted = isinstance(sock, ssl.SSLSocket)
    try:
        if encrypted and _ended(sock, min(_ALERT, timeout)):
            return _closed(encrypted=True)
        began = time.monotonic()
        sock.sendall(REQUEST)
        answer = _read_answer(sock, began + timeout)
    except (ssl.SSLError, ConnectionError) as exc:
        step = Step.TLS if encrypted else Step.ECHO
        meaning = meaning_of_tls(exc) if encrypted else meaning_of_silence(encrypted=False)
        return Done(step=step, good=False, told=f"refused after the handshake: {_reason(exc)}" if encrypted
                    else _reason(exc), meaning=meaning)  # fmt: skip
    except OSError as exc:
        return Done(step=Step.ECHO, good=False, told=_reason(exc), meaning=meaning_of_silence(encrypted=encrypted))
    if not answer:
        return _closed(encrypted=encrypted)
    meaning = meaning_of_answer(answer, REQUEST)
    if meaning:
        return Done(step=Step.ECHO, good=False, told="the answer is not the right one", meaning=meaning)
    milliseconds = (time.monotonic() - began) * 1000
    return Done(step=Step.ECHO, good=True, told=f"answered in {milliseconds:.0f} ms")


def _closed(*, encrypted: bool) -> Done:
    told = "the connection was closed without an answer"
    return Done(step=Step.ECHO, good=False, told=told, meaning=meaning_of_silence(encrypted=encrypted, closed=True))


def _ended(sock: socket.socket, patience: float) -> bool:
    """Whether the other side ends the connection by itself. Raises OSError with its reason."""
    sock.settimeout(patience)
    try:
        return not sock.recv(1)
    except TimeoutError:
        return False


def _read_answer(sock: socket.socket, deadline: float) -> bytes:
    """Up to the first ``]``, or the end of the connection. Raises OSError."""
    received = b""
    while b"]" not in received and len(received) < _LONGEST:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        data = sock.recv(16_384)
        if not data:
            break
        received += data
    return received


def _agreed(sock: ssl.SSLSocket) -> str:
    cipher = sock.cipher()
    return f"{sock.version()}, {cipher[0] if cipher else 'no cipher'}"


def _reason(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the listener's certificate is not accepted: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or "the handshake failed").lower().replace("_", " ")
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    if isinstance(exc, OSError):
        return (exc.strerror or type(exc).__name__).lower()
    return str(exc)
