"""Which functions a client may use: the rules of its group, narrowed by those of its certificate. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from balancer.command import CommandTable, GroupCommand
from config import model
from config.catalogue import ALL, Catalogue
from config.model import FunctionsMode


class Identity(Protocol):
    """What of a client's certificate the rules compare."""

    @property
    def common_name(self) -> str | None: ...

    @property
    def sans(self) -> tuple[str, ...]: ...

    @property
    def fingerprint(self) -> str:
        """``sha256:<hex>``"""


class Ruling:
    """The verdict on one command for one client. Nobody changes it."""

    __slots__ = ("blocked", "command", "noticed", "plain")

    def __init__(self, command: GroupCommand, *, blocked: bool, noticed: bool) -> None:
        """``noticed``: it would be blocked if the mode were `enforce`."""
        self.command = command
        self.blocked = blocked  # must not reach a device
        self.noticed = noticed
        # Nothing of it needs a second look: any device may have it at once.
        self.plain = not (blocked or noticed or command.fences or command.multipart)


class _Listed:
    """One `functions` section, made ready: which codes it lets through."""

    def __init__(self, functions: model.Functions, catalogue: Catalogue) -> None:
        self.mode = functions.mode
        self._allow_all, self._allowed = _codes(functions.allow, catalogue)
        self._block_all, self._blocked = _codes(functions.block, catalogue)

    def forbids(self, code: str) -> bool:
        """``block`` wins over ``allow``; what neither names is forbidden."""
        if self.mode is FunctionsMode.OFF:
            return False
        if self._block_all or code in self._blocked:
            return True
        return not (self._allow_all or code in self._allowed)


class Rules:
    """The verdicts for one kind of client, ready for one look-up per request."""

    def __init__(self, sections: tuple[_Listed, ...], table: CommandTable) -> None:
        self._sections = sections
        self._table = table
        self.rulings: Mapping[bytes, Ruling] = {  # of the catalogue's commands, by code
            command.code: self._decide(command, command.label) for command in table.all if command.known
        }

    def ruling(self, code: bytes) -> Ruling:
        known = self.rulings.get(code)
        return known if known is not None else self._decide(self._table.other, code.decode("ascii"))

    def _decide(self, command: GroupCommand, code: str) -> Ruling:
        forbidding = [section for section in self._sections if section.forbids(code)]
        blocked = any(section.mode is FunctionsMode.ENFORCE for section in forbidding)
        return Ruling(command, blocked=blocked, noticed=bool(forbidding) and not blocked)


class GroupRules:
    """All rules of a group: find a client's once, when it connects or when they change."""

    def __init__(self, group: model.Group, catalogue: Catalogue, table: CommandTable) -> None:
        common = _Listed(group.functions, catalogue)
        self._refuse_unmatched: Final = group.unmatched == "refuse"
        self._common = Rules((common,), table)
        self._clients = tuple(
            (rule.match, Rules((common, _Listed(rule.functions, catalogue)), table)) for rule in group.clients
        )

    def of(self, identity: Identity | None) -> Rules | None:
        """The rules for a client, the first match; None where it is to be refused.

        ``identity`` is None for a client without a certificate; no rule matches it.
        """
        for match, rules in self._clients:
            if identity is not None and _matches(match, identity):
                return rules
        return None if self._refuse_unmatched else self._common


def _matches(match: model.Match, identity: Identity) -> bool:
    return (
        match.common_name in (None, identity.common_name)
        and (match.san is None or match.san in identity.sans)
        and match.fingerprint in (None, identity.fingerprint)
    )


def _codes(entries: tuple[str, ...], catalogue: Catalogue) -> tuple[bool, frozenset[str]]:
    """Whether everything is meant, and the codes that are."""
    expanded = [catalogue.expand(entry) for entry in entries]
    everything = any(codes is ALL for codes in expanded)
    return everything, frozenset().union(*(codes for codes in expanded if isinstance(codes, frozenset)))
