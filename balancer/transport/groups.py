"""Which groups a TLS key agreement may use.

OpenSSL's default list ends with ffdhe8192, which a client may demand: more than a hundred times the work of X25519, so
a handful of handshakes a second would stop everybody. Python can set a list from 3.15 on (`SSLContext.set_groups`);
before, it can only pin one curve, and with P-256 pinned OpenSSL refuses TLS 1.2 clients whose certificate has a key on
another curve. So for older Pythons the list is set as OpenSSL's own default, as an operator would with OPENSSL_CONF.
"""

from __future__ import annotations

import contextlib
import ctypes
import ssl
import tempfile
from typing import Final

GROUPS: Final = "X25519:P-256:P-384:P-521"
_PINNED: Final = "prime256v1"  # every client knows it: TLS 1.3 makes it mandatory
_COSTLY: Final = frozenset(range(0x0101, 0x0105))  # ffdhe3072 to ffdhe8192
_SUPPORTED_GROUPS: Final = 10  # the extension's number
_SETTINGS: Final = f"""\
guardian = modules
[modules]
ssl_conf = ssl
[ssl]
system_default = defaults
[defaults]
Groups = {GROUPS}
"""


def limit_groups(context: ssl.SSLContext) -> None:
    """Let a server's context agree on nothing costlier than P-521.

    Before Python 3.15 this changes the default of every later context of the process, the first time it is called
    (OpenSSL does not guard that against threads that make contexts at the same time, so call it before starting any),
    and a context made before stays as it was. A list that is already cheap, by OPENSSL_CONF for example, is kept.
    """
    if hasattr(context, "set_groups"):
        context.set_groups(GROUPS)
    elif _COSTLY & set(offered_groups(_probe())):
        context.set_ecdh_curve(_PINNED)


def limit_default_groups() -> bool:
    """Set the process's default list; returns whether it is now without costly groups. Call it before making contexts.

    Where Python's OpenSSL cannot be reached (a build that hides its names) nothing changes.
    """
    if not _COSTLY & set(offered_groups(_probe())):
        return True
    with contextlib.suppress(OSError, AttributeError), tempfile.NamedTemporaryFile("w", suffix=".cnf") as file:
        file.write(_SETTINGS)
        file.flush()
        load = _openssl().CONF_modules_load_file
        load.argtypes, load.restype = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong], ctypes.c_int
        load(file.name.encode(), b"guardian", 0)
    return not _COSTLY & set(offered_groups(_probe()))


def offered_groups(context: ssl.SSLContext) -> list[int]:
    """The numbers of the groups that a client with this context offers, read from its first message."""
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello = out.read()
    at = 5 + 4 + 2 + 32  # record header, message header, version, random
    at += 1 + hello[at]  # session
    at += 2 + int.from_bytes(hello[at : at + 2])  # suites
    at += 1 + hello[at]  # compression
    at += 2
    while at < len(hello):
        kind, size = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        if kind == _SUPPORTED_GROUPS:
            listed = hello[at + 6 : at + 4 + size]
            return [int.from_bytes(listed[place : place + 2]) for place in range(0, len(listed), 2)]
        at += 4 + size
    return []


def _probe() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return context


def _openssl() -> ctypes.CDLL:
    """The OpenSSL that the `ssl` module uses; names are found through what its extension is linked with."""
    import _ssl  # noqa: PLC0415 (only to find its file; a static build has none)

    return ctypes.CDLL(getattr(_ssl, "__file__", None))
