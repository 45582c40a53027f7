"""Whether the entries of ``allow`` and ``block`` stand for something."""

from __future__ import annotations

from .catalogue import ALL, Catalogue, UnknownEntryError
from .problems import Place, Report
from .structure import Draft
from .values import nearest
from .yaml_source import shown


def check_functions(functions: Draft, catalogue: Catalogue, report: Report) -> None:
    """Report every entry that names nothing, and warn of codes that the catalogue does not know."""
    for field in ("allow", "block"):
        if not functions.given(field):
            continue
        for entry, place in zip(functions.values.get(field, ()), functions.items.get(field, ()), strict=True):
            _entry(entry, place, catalogue, report)


def _entry(entry: str, place: Place, catalogue: Catalogue, report: Report) -> None:
    try:
        codes = catalogue.expand(entry)
    except UnknownEntryError as exc:
        report.error(place, f"{shown(entry)} {exc}")
        return
    if codes is ALL:
        return
    unknown = [code for code in codes if code not in catalogue]
    if unknown:
        known = [command.name for command in catalogue]
        hint = nearest(unknown[0], known)
        hint = f", {hint}" if hint.startswith("did") else ""
        report.warn(place, f"{shown(entry)} is in no catalogue; it counts as it stands{hint}")
