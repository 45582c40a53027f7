"""Whether the entries of ``allow`` and ``block`` stand for something, and whether nested commands can be told apart."""

from __future__ import annotations

from typing import Any

from .catalogue import ALL, Catalogue, UnknownEntryError
from .model import GroupType, Nesting
from .problems import Place, Report
from .structure import Draft
from .values import nearest
from .yaml_source import shown

_NESTING = frozenset(command.value for command in Nesting)


def check_nested(group: Draft, report: Report) -> None:
    """Complete ``nested``: each command needs the tag; the rest has defaults."""
    if not group.known("nested"):
        return
    tables: dict[Any, Draft] = group.values["nested"]
    for draft in tables.values():
        if "tag" not in draft.values and "tag" not in draft.broken:
            draft.broken.add("tag")
            report.error(draft.at("tag"), "is missing, must be the tag whose value is the nested command")
        elif draft.values.get("tag") in ("AO", "AG"):
            tag = draft.values["tag"]
            report.error(draft.at("tag"), f"is {tag}, must be another: {tag} means the same in every command")
        if "value" not in draft.broken:
            draft.values.setdefault("value", "whole")


def check_functions(functions: Draft, group: Draft, catalogue: Catalogue, report: Report) -> None:
    """Report every entry that names nothing, and warn of codes that the catalogue does not know.

    ``group``: to which they belong.
    """
    for field in ("allow", "block"):
        if not functions.given(field):
            continue
        for entry, place in zip(functions.values.get(field, ()), functions.items.get(field, ()), strict=True):
            _entry(entry, place, group, catalogue, report, allows=field == "allow")


def _entry(entry: str, place: Place, group: Draft, catalogue: Catalogue, report: Report, *, allows: bool) -> None:
    try:
        codes = catalogue.expand(entry)
    except UnknownEntryError as exc:
        report.error(place, f"{shown(entry)} {exc}")
        return
    if codes is ALL:
        return
    code = min(codes, default="")
    if len(codes) == 1 and "/" in code:
        _nested_entry(entry, code, place, group, report)
        return
    unknown = [code for code in codes if code not in catalogue]
    if unknown:
        known = [command.name for command in catalogue]
        hint = nearest(unknown[0], known)
        hint = f", {hint}" if hint.startswith("did") else ""
        report.warn(place, f"{shown(entry)} is in no catalogue; it counts as it stands{hint}")
    elif allows and codes and codes <= _NESTING and entry.removeprefix("Excrypt:") not in codes and _is_kms(group):
        names = " and ".join(sorted(codes))
        report.warn(place, f"{shown(entry)} allows nothing: in a group of type kms, name {names} itself")


def _is_kms(group: Draft) -> bool:
    return group.values.get("type") is GroupType.KMS


def _nested_entry(entry: str, code: str, place: Place, group: Draft, report: Report) -> None:
    """``RKRL/ABCD`` means something only where a request's nested command can be read."""
    carrier = code.partition("/")[0]
    if carrier not in _NESTING:
        report.error(place, f"{shown(entry)} names no function: only {' and '.join(sorted(_NESTING))} carry others")
    elif group.known("nested") and Nesting(carrier) not in group.values["nested"]:
        report.error(
            place, f"{shown(entry)} cannot be told from other {carrier}: needs nested.{carrier}.tag in the group"
        )
