"""Is a certificate made for the name that we expect? Exact comparison, with the one wildcard that RFC 6125 advises."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")


def matches_name(
    expected: str, *, has_san: bool, dns_names: Sequence[str], addresses: Sequence[str], common_name: str | None
) -> bool:
    """Whether a certificate with these names is one for ``expected``, a host name, an address or a Common Name.

    A host name is compared with the SAN's DNS names, an address with its IP addresses. Only a certificate without any
    SAN is judged by its Common Name: the vendor's guides make device certificates with nothing but `CN=Production`.
    """
    address = _address(expected)
    if not has_san:
        if common_name is None:
            return False
        if address is not None:
            return _address(common_name) == address
        return _matches(expected, common_name)
    if address is not None:
        return any(_address(other) == address for other in addresses)
    return any(_matches(expected, name) for name in dns_names)


def _matches(expected: str, pattern: str) -> bool:
    """Equal but for case and one last dot; or ``*.`` stands for exactly one label, above at least two others."""
    if not (expected.isascii() and pattern.isascii()):
        return False
    expected, pattern = expected.lower().removesuffix("."), pattern.lower().removesuffix(".")
    if not pattern.startswith("*."):
        return pattern == expected and expected != ""
    parent = pattern[2:]
    label, _, rest = expected.partition(".")
    return bool(label) and rest == parent and "." in parent and _HOST.fullmatch(expected) is not None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
