"""Which functions a client may use: the rules of its group, narrowed by those of its certificate. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from balancer.command import CommandTable, GroupCommand
from balancer.wire.message import nested_code
from config import model
from config.catalogue import ALL, Catalogue
from config.model import FunctionsMode, GroupType, NestedTag, Nesting

Nested = Mapping[Nesting, NestedTag]
_NESTING: Final = frozenset(command.value for command in Nesting)
_NO_CODE: Final = ""  # stands for every nested command that no section names


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
    """The verdict on one command for one client. Where ``nested`` is given, it has the verdict on each request.

    Nobody changes it.
    """

    __slots__ = ("blocked", "command", "nested", "noticed", "plain")

    def __init__(
        self, command: GroupCommand, *, blocked: bool, noticed: bool, nested: NestedRulings | None = None
    ) -> None:
        """``noticed``: it would be blocked if the mode were `enforce`."""
        self.command = command
        self.blocked = blocked  # must not reach a device
        self.noticed = noticed
        self.nested = nested
        # Nothing of it needs a second look: any device may have it at once.
        self.plain = not (blocked or noticed or nested is not None or command.fences or command.multipart)


class NestedRulings:
    """The verdicts on the commands that one command carries: what cannot be told is judged as ``unreadable``."""

    def __init__(self, where: NestedTag, listed: Mapping[bytes, Ruling], other: Ruling, unreadable: Ruling) -> None:
        self._tag = where.tag.encode("ascii")
        self._whole = where.value == "whole"
        self._listed = listed
        self._other = other
        self._unreadable = unreadable

    def of(self, request: bytes) -> Ruling:
        """The verdict on a well-formed request."""
        code = nested_code(request, self._tag, self._whole)
        if code is None:
            return self._unreadable
        return self._listed.get(code, self._other)


class _Listed:
    """One `functions` section, made ready: which codes it lets through.

    ``asks_names``: commands that carry others are allowed only by their own name, not by ``*``, a list, a category or
    an effect.
    """

    def __init__(self, functions: model.Functions, catalogue: Catalogue, *, asks_names: bool = False) -> None:
        self.mode = functions.mode
        self._allow_all, self._allowed = _codes(functions.allow, catalogue)
        self._block_all, self._blocked = _codes(functions.block, catalogue)
        self._nesting: frozenset[str] = _NESTING if asks_names else frozenset()
        self._named = frozenset(entry.removeprefix("Excrypt:") for entry in functions.allow)

    def forbids(self, code: str) -> bool:
        """``block`` wins over ``allow``; what neither names is forbidden."""
        if self.mode is FunctionsMode.OFF:
            return False
        if self._block_all or code in self._blocked:
            return True
        return not self._allows(code)

    def forbids_nested(self, carrier: str, code: str | None) -> bool:
        """The same for ``carrier/code``; None: which one it is cannot be told."""
        if self.mode is FunctionsMode.OFF:
            return False
        nested = f"{carrier}/{code}"
        if code is None or self._block_all or carrier in self._blocked or nested in self._blocked:
            return True
        return not (self._allows(carrier) or nested in self._allowed)

    def codes_in(self, carrier: str) -> Iterator[str]:
        """The nested commands that it names."""
        for entry in self._allowed | self._blocked:
            head, slash, code = entry.partition("/")
            if slash and head == carrier:
                yield code

    def _allows(self, code: str) -> bool:
        if code in self._nesting:
            return code in self._named
        return self._allow_all or code in self._allowed


class Rules:
    """The verdicts for one kind of client, ready for one look-up per request."""

    def __init__(self, sections: tuple[_Listed, ...], table: CommandTable, nested: Nested) -> None:
        self._sections = sections
        self._table = table
        self._nested = {command.value: where for command, where in nested.items()}
        self.rulings: dict[bytes, Ruling] = {  # of the catalogue's commands, by code
            command.code: self._decide(command, command.label) for command in table.all if command.known
        }

    def ruling(self, code: bytes) -> Ruling:
        known = self.rulings.get(code)
        return known if known is not None else self._decide(self._table.other, code.decode("ascii"))

    def _decide(self, command: GroupCommand, code: str) -> Ruling:
        if code in self._nested:
            return Ruling(command, blocked=False, noticed=False, nested=self._decide_nested(command, code))
        return self._verdict(command, [section for section in self._sections if section.forbids(code)])

    def _decide_nested(self, command: GroupCommand, carrier: str) -> NestedRulings:
        def verdict(code: str | None) -> Ruling:
            return self._verdict(
                command, [section for section in self._sections if section.forbids_nested(carrier, code)]
            )

        codes = {code for section in self._sections for code in section.codes_in(carrier)}
        listed = {code.encode("ascii"): verdict(code) for code in codes}
        return NestedRulings(self._nested[carrier], listed, verdict(_NO_CODE), verdict(None))

    @staticmethod
    def _verdict(command: GroupCommand, forbidding: list[_Listed]) -> Ruling:
        blocked = any(section.mode is FunctionsMode.ENFORCE for section in forbidding)
        return Ruling(command, blocked=blocked, noticed=bool(forbidding) and not blocked)


class GroupRules:
    """All rules of a group: find a client's once, when it connects or when they change."""

    def __init__(self, group: model.Group, catalogue: Catalogue, table: CommandTable) -> None:
        common = _Listed(group.functions, catalogue, asks_names=group.type is GroupType.KMS)
        self._refuse_unmatched: Final = group.unmatched == "refuse"
        self._common = Rules((common,), table, group.nested)
        self._clients = tuple(
            (rule.match, Rules((common, _Listed(rule.functions, catalogue)), table, group.nested))
            for rule in group.clients
        )

    def of(self, identity: Identity | None) -> Rules | None:
        """The rules for a client, the first match; None where it is to be refused.

        ``identity`` is None for a client without a certificate; no rule matches it.
        """
        for match, rules in self._clients:
            if identity is not None and matches(match, identity):
                return rules
        return None if self._refuse_unmatched else self._common


def matches(match: model.Match, identity: Identity) -> bool:
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
