"""Results as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from .cell import TOLD, Cell, Result
from .tally import CURVE

_HEAD: Final = (
    f"{'policy':<12}{'served/s':>9}{'mean':>8}{'p50':>8}{'p90':>8}{'p99':>8}{'p99.9':>8}{'most':>8}"
    f"{'not served':>12}{'resent':>8}{'ejected':>9}{'last device':>13}"
)


def render(results: Sequence[Result]) -> str:
    """A table for each situation, its best p99 marked. Times are milliseconds."""
    return "\n\n".join("\n".join(_table(list(rows))) for _, rows in groupby(results, key=_situation))


def _situation(result: Result) -> tuple[object, ...]:
    cell = result.cell
    return (cell.trouble, cell.devices, cell.workers, cell.sight)


def _table(rows: Sequence[Result]) -> Iterator[str]:
    yield situation(rows[0].cell)
    yield _HEAD
    sound = [row.quantiles["99"] for row in rows if row.lost < 0.01]
    best = min(sound, default=0.0)
    for row in rows:
        mark = "*" if row.quantiles["99"] == best and row.lost < 0.01 and len(rows) > 1 else " "
        times = "".join(f"{1000 * row.quantiles[name]:8.1f}" for name in ("50", "90"))
        times += f"{1000 * row.quantiles['99']:7.1f}{mark}{1000 * row.quantiles['99.9']:8.1f}"
        yield (
            f"{row.cell.policy.value:<12}{row.rate:9.0f}{1000 * row.mean:8.1f}{times}{1000 * row.worst:8.0f}"
            f"{_share(row.lost):>12}{row.resent:8}{row.ejections:9}{_share(row.shares[-1]):>13}"
        )


def situation(cell: Cell) -> str:
    """In words."""
    load = f"{cell.clients} clients" if cell.clients else f"{cell.load:.0%} load"
    several = ""
    if cell.workers > 1:
        seen = {None: "nothing", 0.0: "all at once"}.get(cell.sight, f"all, {1000 * (cell.sight or 0.0):g} ms late")
        several = f", {cell.workers} workers that see {seen} of each other"
    return f"{cell.devices} device{'s' if cell.devices > 1 else ''}, {TOLD[cell.trouble]}, {load}{several}"


def _share(share: float) -> str:
    return "-" if not share else f"{share:.1%}" if share >= 0.001 else "<0.1%"


def as_json(results: Sequence[Result]) -> str:
    """The same for the same cells, to the last byte: nothing of this machine is in it."""
    shown = {"curve": [round(share, 6) for share in CURVE], "results": [_plain(result) for result in results]}
    return json.dumps(shown, indent=1) + "\n"


def _plain(result: Result) -> dict[str, Any]:
    cell = result.cell
    return {
        "policy": cell.policy.value,
        "trouble": cell.trouble.value,
        "devices": cell.devices,
        "workers": cell.workers,
        "sight": cell.sight,
        "load": None if cell.clients else cell.load,
        "clients": cell.clients or None,
        "mix": cell.mix,
        "seconds": cell.seconds,
        "warmup": cell.warmup,
        "seed": cell.seed,
        "parallel": cell.parallel,
        "connections": cell.connections,
        "factor": cell.factor,
        "variation": cell.variation,
        "service": cell.service or None,
        "served": result.served,
        "failed": dict(sorted(result.failed.items())),
        "rate": result.rate,
        "mean": result.mean,
        "quantiles": dict(result.quantiles),
        "worst": result.worst,
        "curve": list(result.curve),
        "shares": list(result.shares),
        "resent": result.resent,
        "ejections": result.ejections,
    }
