"""Does a token connect to a listener of this proxy, and to which? Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from config.fxpkcs11 import Section
from config.fxpkcs11_tags import LABEL_BYTES, switched_on
from config.model import Bind, Config, GroupType
from config.problems import Problem

from .offer import Offer
from .token import Token

_TYPES = {"HSM": GroupType.HSM, "KMS": GroupType.KMS}


def find_offer(token: Token, all_offers: Sequence[Offer]) -> Offer | None:
    """The listener at the token's port: with several, the one at its address, or of its type."""
    found = [offer for offer in all_offers if offer.listener.bind.port == token.port]
    exact = [offer for offer in found if offer.listener.bind.host == token.address]
    fitting = [offer for offer in exact or found if offer.group.type is _TYPES[token.section.name]]
    return next(iter(fitting or exact or found), None)


def check_place(token: Token, config: Config, all_offers: Sequence[Offer], offer: Offer | None) -> Iterator[Problem]:
    """What is wrong with ADDRESS and PROD-PORT. ``offer``: what `find_offer` gave."""
    section = token.section
    if section.get("ADDRESS") is None:
        yield token.problem("is missing, must be the host of the proxy's listener", "ADDRESS")
        return
    for group in config.groups:
        for device in group.devices:
            if _same_host(device.address.host, token.address) and device.address.port == token.port and offer is None:
                yield token.problem(
                    f"is device {device.name} of group {group.name} itself: the client goes past the proxy, "
                    f"must be the proxy's host and a listener's port ({_listed(all_offers)})",
                    "ADDRESS",
                )
                return
    if offer is None:
        yield token.problem(
            f"is {token.port}, where no listener is, must be one of: {_listed(all_offers)}", "PROD-PORT", "ADDRESS"
        )
        return
    bind = offer.listener.bind
    if not _reached_by(bind, token.address):
        yield token.problem(
            f"is {token.address}, but listener {offer.listener.name} listens on {bind.host} only", "ADDRESS"
        )
    if offer.group.type is not _TYPES[section.name]:
        other = "KMS" if section.name == "HSM" else "HSM"
        fitting = [each for each in all_offers if each.group.type is _TYPES[section.name]]
        right = f"or the port of {_listed(fitting)}" if fitting else "no listener here is for it"
        yield token.problem(
            f"is that of listener {offer.listener.name}, whose group {offer.group.name} has devices of type "
            f"{offer.group.type.value}: must be a <{other}> section, {right}",
            "PROD-PORT", section.name,
        )  # fmt: skip


def check_balanced(token: Token) -> Iterator[Problem]:
    """What every token that comes through a proxy must say, whichever it is."""
    section = token.section
    for tag, default in (("PROD-ENABLED", False), ("FX-LOAD-BALANCE", False)):
        setting = section.get(tag)
        if switched_on(setting, default):
            continue
        word = "is missing" if setting is None else "is NO" if setting.value.upper() == "NO" else ""
        if tag == "PROD-ENABLED" and word:
            yield token.problem(
                f"{word}, must be YES: the library does not use the address and port of this section", tag
            )
        elif word:
            yield token.problem(f"{word}, must be YES: the library then knows that it talks through a balancer", tag)
    if section.get("LABEL") is None:
        yield token.problem(
            f"is missing: the token's label is then made of the address, as far as is known, and becomes "
            f"{_made_label(token)!r}; applications that look for the one of before no longer find it, write it here",
            "LABEL", severity="warning",
        )  # fmt: skip


def old_label(section: Section, address: str, port: int) -> str:
    """The label that a token has: its own, or what the library seems to make of the address."""
    label = section.get("LABEL")
    return label.value if label is not None and label.value else f"{address}:{port}"[:LABEL_BYTES]


def _made_label(token: Token) -> str:
    return f"{token.address}:{token.port}"[:LABEL_BYTES]


def _listed(all_offers: Sequence[Offer]) -> str:
    """Their ports, each with its name."""
    return ", ".join(f"{offer.listener.bind.port} ({offer.listener.name})" for offer in all_offers) or "none"


def _same_host(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one.lower() == other.lower()


def _reached_by(bind: Bind, address: str) -> bool:
    """Whether a client that asks for ``address`` can be at that bind; a name, or a forwarded address, may be."""
    try:
        here, there = ipaddress.ip_address(bind.host), ipaddress.ip_address(address)
    except ValueError:
        return not _is_loopback(bind.host) or address.lower() in ("localhost", bind.host.lower())
    if here.is_unspecified:
        return True
    return not (here.is_loopback and not there.is_loopback)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
