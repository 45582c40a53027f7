"""The table for people and the file for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

import attrs

from .figures import MEDDLING, Bottleneck, Measurement, Row, Spread

HEADINGS: Final = (
    "proxy", "µs/request", "to haproxy", "requests/s", "p50 µs", "p99 µs", "cores: proxy", "load", "device", "others",
    "limit",
)  # fmt: skip


def _spread(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return "-"
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f}-{spread.most:.{digits}f})"


def _cells(row: Row) -> list[str]:
    limits = dict.fromkeys(bottleneck.value for bottleneck in row.bottlenecks)
    return [
        row.contender,
        _spread(row.cost, 1),
        _spread(row.ratio, 2),
        f"{row.rate.median:,.0f}",
        f"{row.p50:,.0f}",
        f"{row.p99:,.0f}",
        "-" if row.proxy_cores is None else f"{row.proxy_cores:.2f}",
        f"{row.generator_cores:.2f}",
        f"{row.device_cores:.2f}",
        f"{row.other_cores:.2f}",
        "/".join(limits),
    ]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def warnings(rows: Sequence[Row]) -> list[str]:
    """What a reader must know before believing the table, one sentence each."""
    found = []
    for row in rows:
        where = f"{row.contender}, {row.clients} clients"
        if not row.clean:
            found.append(f"{where}: some answers were wrong, errors or missing; the figures mean nothing")
        if Bottleneck.GENERATOR in row.bottlenecks:
            found.append(f"{where}: the load generator was the bottleneck; requests/s is its figure, not the proxy's")
        if Bottleneck.DEVICE in row.bottlenecks:
            found.append(f"{where}: a device was the bottleneck; requests/s is its figure, not the proxy's")
        if Bottleneck.MACHINE in row.bottlenecks:
            found.append(f"{where}: all cores were busy; requests/s and latency depend on how they were shared")
        if row.other_cores > MEDDLING:
            found.append(f"{where}: other programs used {row.other_cores:.2f} cores; measure again on a quiet machine")
    return found


def render(rows: Sequence[Row], machine: Mapping[str, str | int]) -> str:
    """All of it as text: what was measured on, a table for each number of clients, the warnings."""
    lines = [f"{name}: {value}" for name, value in machine.items()]
    lines += [
        "",
        "Medians over the rounds, in brackets least and most. CPU is user + system of all of a proxy's processes.",
    ]
    for clients, group in groupby(rows, key=lambda row: row.clients):
        lines += ["", f"{clients} client{'s' if clients > 1 else ''}"]
        lines += _table([HEADINGS, *(_cells(row) for row in group)])
    said = warnings(rows)
    return "\n".join([*lines, *([""] if said else []), *(f"! {sentence}" for sentence in said)])


def as_json(
    rows: Sequence[Row],
    measurements: Sequence[Measurement],
    machine: Mapping[str, str | int],
    asked: Mapping[str, object],
) -> str:
    """Everything, each single run too."""
    told = {
        "machine": dict(machine),
        "asked": dict(asked),
        "rows": [attrs.asdict(row, value_serializer=_plain) for row in rows],
        "runs": [attrs.asdict(run) | {"cost": run.cost, "rate": run.rate} for run in measurements],
    }
    return json.dumps(told, indent=2) + "\n"


def _plain(_owner: object, _field: object, value: object) -> object:
    if isinstance(value, Bottleneck):
        return value.value
    return (
        [item.value if isinstance(item, Bottleneck) else item for item in value] if isinstance(value, list) else value
    )
