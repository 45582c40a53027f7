"""Will what a client asks for get through: its rule, its login, and what the known integrations need? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from config.catalogue import Catalogue, Effect
from config.model import Framing, GroupType
from config.problems import Problem
from guardian.functions import Rules

from .offer import Offer
from .protection import identity
from .token import Token


@attrs.frozen
class Integration:
    """An application of the vendor's guides. ``lists``: the guides' function lists that it needs, or `codes`."""

    title: str
    type: GroupType
    guide: str = ""
    codes: tuple[str, ...] = ()

    def needs(self, catalogue: Catalogue) -> tuple[str, ...]:
        listed = {
            code for name, codes in catalogue.lists.items() if name.startswith(f"{self.guide}/") for code in codes
        }
        return tuple(sorted(listed if self.guide else self.codes))


INTEGRATIONS: Final[Mapping[str, Integration]] = {
    "vault": Integration("HashiCorp Vault", GroupType.HSM, guide="vault"),
    "vsec-cms": Integration("vSEC:CMS", GroupType.HSM, guide="vsec-cms"),
    "openssh": Integration("OpenSSH with keys of a KMES", GroupType.KMS, codes=("RKLG", "RKRL")),
}
_GUESSED: Final = ("RKLG",)  # what a group's login command is where nobody has said otherwise


def check_permission(token: Token, offer: Offer, wanted: tuple[str, ...]) -> Iterator[Problem]:
    """``wanted``: the integrations that the client must be good for; empty where nobody said."""
    if offer.listener.framing is not Framing.EXCRYPT:
        yield token.problem(
            f"is that of listener {offer.listener.name}, which wants a length before each message (framing: "
            f"{offer.listener.framing.value}); the library is not known to send one",
            "PROD-PORT", severity="warning",
        )  # fmt: skip
    who = identity(token)
    if token.unread and who is None:
        return  # who it is cannot be told, and so not which rule it meets
    rules = offer.rules.of(who)
    if rules is None:
        yield token.problem(
            f"is of nobody that group {offer.group.name} knows: no entry of its clients matches "
            f"{_called(who)}, and unmatched is refuse",
            "PROD-TLS-CERT", "PROD-TLS-KEY",
        )  # fmt: skip
        return
    yield from _login(token, offer, rules)
    yield from _integrations(token, offer, rules, wanted)


def blocked(rules: Rules, codes: tuple[str, ...]) -> tuple[str, ...]:
    """Those of them that the rules block. What a command carries (`nested`) has verdicts of its own: not blocked."""
    return tuple(code for code in codes if rules.ruling(code.encode("ascii")).blocked)


def _login(token: Token, offer: Offer, rules: Rules) -> Iterator[Problem]:
    if token.section.get("CRYPTO-OPR") is None:
        return
    group = offer.group
    commands = tuple(rule.command for rule in group.sessions.login)
    if not commands:
        yield token.problem(
            f"logs in, and group {group.name} knows no login command (sessions.login is empty): the client would be "
            "pinned to one device",
            "CRYPTO-OPR", severity="warning",
        )  # fmt: skip
        return
    stopped = blocked(rules, commands)
    if stopped:
        yield token.problem(
            f"cannot log in: the rules of group {group.name} block its login command {', '.join(stopped)}", "CRYPTO-OPR"
        )
    elif group.type is GroupType.KMS and "RKLG" not in commands:
        yield token.problem(
            f"logs in with RKLG, the login of a KMES, and sessions.login of group {group.name} has only "
            f"{', '.join(commands)}: must have RKLG too",
            "CRYPTO-OPR",
        )
    elif group.type is GroupType.HSM and commands == _GUESSED:
        unknown = rules.ruling(b"0000").blocked  # stands for every code that no catalogue knows
        effect = "is blocked by its rules" if unknown else "pins the client to one device"
        yield token.problem(
            f"logs in with a command that is not public for HSMs; sessions.login of group {group.name} has RKLG, and "
            f"any other {effect}: `guardian learn` tells which it is",
            "CRYPTO-OPR", severity="warning",
        )  # fmt: skip


def _integrations(token: Token, offer: Offer, rules: Rules, wanted: tuple[str, ...]) -> Iterator[Problem]:
    fitting = {key: each for key, each in INTEGRATIONS.items() if each.type is offer.group.type}
    stopped = {key: blocked(rules, each.needs(offer.catalogue)) for key, each in fitting.items()}
    for key in wanted:
        each = INTEGRATIONS[key]
        if key not in fitting:
            message = (
                f"is of a group of type {offer.group.type.value}; {each.title} needs one of type {each.type.value}"
            )
            yield token.problem(message, "PROD-PORT", token.section.name)
        elif stopped[key]:
            yield token.problem(_stopped(each, stopped[key], offer), "PROD-TLS-CERT", "ADDRESS")
    if wanted or any(not codes for codes in stopped.values()):
        return
    for key, codes in stopped.items():
        yield token.problem(_stopped(fitting[key], codes, offer), "PROD-TLS-CERT", "ADDRESS", severity="warning")


def _stopped(integration: Integration, codes: tuple[str, ...], offer: Offer) -> str:
    writes = [code for code in codes if (known := offer.catalogue.get(code)) and known.effect is Effect.WRITE]
    told = f", of which {', '.join(writes)} change a device" if writes and len(writes) < len(codes) else ""
    return (
        f"the client may not use {', '.join(codes)}{told}, and {integration.title} needs that: see functions of group "
        f"{offer.group.name} and of its clients"
    )


def _called(who: object) -> str:
    name = getattr(who, "common_name", None)
    return f"common name {name!r}" if name else "a client without a certificate" if who is None else "its certificate"
