"""A finished run for programs: every figure, each second, and what it was measured on. No secret is in a scenario."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from .histogram import Histogram
from .requirement import Requirement
from .result import PERCENTILES, Moment, Result
from .verdict import Verdict

FORMAT: Final = 1  # of the report; grows when a key changes its meaning


def render(
    result: Result,
    verdict: Verdict,
    requirements: Sequence[Requirement],
    machine: Mapping[str, str | int],
    *,
    started: str,
) -> str:
    """All durations in microseconds unless a key says seconds."""
    ends = result.endings
    told = {
        "format": FORMAT,
        "started": started,
        "machine": dict(machine),
        "scenario": msgspec.to_builtins(result.scenario, enc_hook=str),
        "requests": {
            "seconds": result.measured_seconds,
            "arrived": result.due,
            "sent": result.sent,
            "answered": result.answered,
            "rate": result.rate,
            "failed": result.failed,
            "error_share": result.error_share,
            "warmup": result.warmup,
        },
        "failures": dict(result.failures),
        "connections": dict(result.events),
        "latency_us": _latency(result.total),
        "service_us": _latency(result.service),
        "commands": {label: _latency(histogram) for label, histogram in sorted(result.latency.items())},
        "required": [
            {"text": each.text, "found": each.found(result), "met": each.met(result)} for each in requirements
        ],
        "generator": {
            "bottleneck": verdict.bottleneck,
            "reasons": list(verdict.reasons),
            "remarks": list(verdict.remarks),
            "late": result.late,
            "skipped": result.skipped,
            "waited_for_a_connection": result.waited,
            "lag_us": _latency(result.lag),
            "passes": result.passes,
            "slow_passes": result.slow_passes,
            "longest_pass_us": result.longest_pass * 1e6,
            "cpu_seconds": [end.cpu for end in ends],
            "busy": [end.wanted / end.seconds if end.seconds else 0.0 for end in ends],
            "waited_for_a_core": [end.waiting / end.seconds if end.seconds else 0.0 for end in ends],
        },
        "stopped": result.stopped,
        "seconds": [_moment(moment) for moment in result.moments],
    }
    return json.dumps(told, indent=2) + "\n"


def _latency(histogram: Histogram) -> dict[str, Any]:
    values = dict(zip((f"p{each:g}" for each in PERCENTILES), histogram.percentiles(PERCENTILES), strict=True))
    return {
        "count": histogram.count,
        "mean": histogram.mean,
        **values,
        "max": histogram.most,
        "hdr": histogram.encoded(),  # HdrHistogram V2, compressed, base64
    }


def _moment(moment: Moment) -> dict[str, int]:
    names = ("number", "due", "early", "sent", "answered", "warmup", "failed", "late", "connected", "outstanding")
    return {name: getattr(moment, name) for name in names} | {
        "p50_us": moment.p50,
        "p99_us": moment.p99,
        "p99.9_us": moment.p999,
        "max_us": moment.most,
    }
