"""Durations, rates, sizes and addresses as people write them; inside there are only seconds, bytes and `Bind`.

All functions raise ValueError whose text says what would be right, never what was given: the value may be a secret
that came from the environment.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from .model import Bind

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES: Final = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
# The number of digits is bounded, so that no value overflows a float and none takes long to convert.
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s|m|h)", re.ASCII)
_SIZE: Final = re.compile(r"([0-9]{1,15}) ?(B|KiB|MiB|GiB|)", re.ASCII)
_RATE: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?/ ?(s|m|h)", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?[0-9.]+", re.ASCII)
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)

DURATION_FORM: Final = "a duration with its unit, such as 250ms, 2s, 5m or 1h"
RATE_FORM: Final = "a rate such as 2000/s, 600/m or 0.5/s"
SIZE_FORM: Final = "a size such as 512B, 256KiB or 1MiB, or a whole number of bytes"
BIND_FORM: Final = "host:port, such as 10.0.8.30:9100, hsm1.example:9100 or [fd00::1]:9100"


def parse_duration(text: str) -> float:
    """Seconds of ``250ms``, ``1.5s``, ``5m``, ``1h``. A bare number is refused: nobody can see what it counts."""
    found = _DURATION.fullmatch(text)
    if found is None:
        if _NUMBER.fullmatch(text):
            raise ValueError("a duration needs its unit: 250ms, 2s, 5m or 1h")
        raise ValueError(f"must be {DURATION_FORM}")
    # Dividing by a whole number keeps 250ms exactly 0.25, where multiplying by 0.001 may be off by a bit.
    number = float(found[1])
    return number / 1000 if found[2] == "ms" else number * _SECONDS[found[2]]


def parse_size(text: str) -> int:
    """Bytes of ``512B``, ``256KiB``, ``1MiB``, ``1GiB`` or a plain whole number."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"must be {SIZE_FORM}")
    return int(found[1]) * _BYTES[found[2]]


def parse_rate(text: str) -> float:
    """Per second, of ``2000/s``, ``600/m``, ``3600/h``. A bare number is refused: nobody can see what it counts."""
    found = _RATE.fullmatch(text)
    if found is None:
        raise ValueError(f"must be {RATE_FORM}")
    return float(found[1]) / _SECONDS[found[2]]


def format_rate(rate: float) -> str:
    """2000 is ``2000/s``."""
    return f"{rate:.12g}/s"


def parse_bind(text: str) -> Bind:
    """Host and port of ``host:port`` or ``[v6]:port``. IPv6 addresses come out in their shortest form.

    Names are not resolved. Whether port 0 makes sense is for the caller to say.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f"must be {BIND_FORM}")
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError("the port after the last colon must be a number from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        try:
            return Bind(host=str(ipaddress.IPv6Address(host[1:-1])), port=int(port))
        except ValueError:
            raise ValueError("between the brackets must be an IPv6 address, such as [fd00::1]:9100") from None
    if ":" in host:
        raise ValueError("an IPv6 address needs brackets, such as [fd00::1]:9100")
    return Bind(host=_host(host), port=int(port))


def _host(host: str) -> str:
    """An IPv4 address or a host name, checked; a name in lower case, as names are compared without case."""
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdigit():
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError("the host must be an IPv4 address of four numbers from 0 to 255, or a name") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"must be {BIND_FORM}")
    return host.lower()


def format_duration(seconds: float) -> str:
    """The shortest way to write it: 0.25 is ``250ms``, 90 is ``90s``, 300 is ``5m``."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:g}s"
