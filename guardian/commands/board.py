"""What `guardian top` shows: from two answers of `/status` to lines of text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from .device import outstanding_for
from .slowness import reasons
from .table import COLOURS, milliseconds, plain

Key = tuple[str, str]  # group, device
Line = list[tuple[str, str]]  # pieces of text, each with its style

SORTS: Final = ("configured", "rate", "p99", "outstanding")
_HEADING: Final = ("DEVICE", "ROLE", "WILL", "HEALTH", "REQ/s", "SHARE", "P50 ms", "P99 ms", "OUTST", "ERRORS", "WHY")
_RIGHT: Final = frozenset(range(4, 10))
_COLOURED: Final = frozenset({2, 3})


@attrs.frozen(kw_only=True)
class Row:
    key: Key
    rate: float  # requests a second
    p99: float  # milliseconds
    outstanding: int
    cells: tuple[str, ...]


@attrs.frozen(kw_only=True)
class GroupPart:
    name: str
    summary: str
    rows: tuple[Row, ...]


def parts(found: Mapping[str, Any], rates: Mapping[Key, float], sort: str = SORTS[0]) -> list[GroupPart]:
    """The groups with their devices, sorted within each group."""
    made = []
    for group in found["groups"]:
        name = plain(group["name"])
        total = sum(rates.get((group["name"], device["name"]), 0.0) for device in group["devices"])
        why = reasons(group)
        rows = [_row(group["name"], device, rates, total, why[device["name"]]) for device in group["devices"]]
        if sort != SORTS[0]:
            rows.sort(key=lambda row: -getattr(row, sort))
        serving = sum(bool(device["in_service"]) for device in group["devices"])
        summary = (
            f"{serving}/{len(rows)} in service   {total:,.0f} req/s   "
            f"{sum(row.outstanding for row in rows)} outstanding   {group.get('queued', 0)} queued"
        )
        made.append(GroupPart(name=name, summary=summary, rows=tuple(rows)))
    return made


def _row(group: str, device: Mapping[str, Any], rates: Mapping[Key, float], total: float, why: str) -> Row:
    rate = rates.get((group, device["name"]), 0.0)
    latency = device.get("latency_ms") or {}
    return Row(
        key=(group, device["name"]),
        rate=rate,
        p99=latency.get("p99") or 0.0,
        outstanding=device["outstanding"],
        cells=(
            plain(device["name"]), plain(device["role"]), plain(device["will"]), plain(device["health"]),
            f"{rate:,.0f}", f"{rate / total:.0%}" if total else "-", milliseconds(latency.get("p50")),
            milliseconds(latency.get("p99")), f"{device['outstanding']}/{device.get('limit', '-')}",
            f"{device['errors']:,}", plain(_why(device, why) or " "),
        ),
    )  # fmt: skip


def _why(device: Mapping[str, Any], why: str) -> str:
    if device["will"] == "ready":
        return why or ("" if device["in_service"] else "not in service")
    left = outstanding_for(device["will"], dict(device))
    done = {"drain": "drained", "maint": "out, no connections"}[device["will"]]
    return left or done


def rates_between(before: Mapping[str, Any], after: Mapping[str, Any], seconds: float) -> dict[Key, float]:
    """Requests a second of each device. Counts that went back, as after a restart of the proxy, begin anew."""
    known = dict(_counts(before))
    return {key: max(0, count - known.get(key, count)) / seconds for key, count in _counts(after) if seconds > 0}


def _counts(found: Mapping[str, Any]) -> list[tuple[Key, int]]:
    return [((group["name"], device["name"]), device["requests"])
            for group in found["groups"] for device in group["devices"]]  # fmt: skip


def body(shown: Sequence[GroupPart], selected: Key | None, height: int) -> list[Line]:
    """At most ``height`` lines, the selected device among them."""
    widths = [len(title) for title in _HEADING]
    for part in shown:
        for row in part.rows:
            widths = [max(width, len(cell)) for width, cell in zip(widths, row.cells, strict=True)]
    lines: list[Line] = []
    at = 0
    for part in shown:
        lines.append([(part.name, "bold"), (f"   {part.summary}", "")])
        lines.append([("  " + _joined(_HEADING, widths), "dim")])
        for row in part.rows:
            if row.key == selected:
                at = len(lines)
            lines.append(_styled(row, widths, chosen=row.key == selected))
        lines.append([])
    start = max(0, min(at - height // 2, len(lines) - height))
    return lines[start : start + height]


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(_cell(number, cell, widths[number]) for number, cell in enumerate(cells)).rstrip()


def _cell(number: int, cell: str, width: int) -> str:
    return cell.rjust(width) if number in _RIGHT else cell.ljust(width)


def _styled(row: Row, widths: Sequence[int], *, chosen: bool) -> Line:
    if chosen:
        return [("> " + _joined(row.cells, widths), "reverse")]
    made: Line = [("  ", "")]
    for number, cell in enumerate(row.cells):
        style = COLOURS.get(cell, "") if number in _COLOURED else ""
        made += [(_cell(number, cell, widths[number]), style), ("  ", "")]
    return made
