"""What a run must show: ``p99<20ms``, ``errors<0.1%``, ``rate>1000/s``. Pure."""

from __future__ import annotations

import re
from typing import Final

import attrs

from config.units import format_duration, format_rate, parse_duration, parse_rate

from .result import Result

FORM: Final = "p50<5ms, p99.9<50ms, mean<2ms, max<1s, errors<0.1% or rate>1000/s"
_FORM: Final = re.compile(r"\s*(p[0-9]{1,2}(?:\.[0-9]{1,3})?|mean|max|errors|rate)\s*([<>])\s*(\S+)\s*", re.ASCII)
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%", re.ASCII)


@attrs.frozen(kw_only=True)
class Requirement:
    what: str
    less: bool
    bound: float  # seconds, a share, or a second

    @property
    def text(self) -> str:
        if self.what == "errors":
            bound = f"{self.bound * 100:g}%"
        else:
            bound = format_rate(self.bound) if self.what == "rate" else format_duration(self.bound)
        return f"{self.what} {'<' if self.less else '>'} {bound}"

    def found(self, result: Result) -> float:
        """What the run showed, in the bound's unit."""
        if self.what == "errors":
            return result.error_share
        if self.what == "rate":
            return result.rate
        if self.what == "mean":
            return result.total.mean / 1e6
        if self.what == "max":
            return result.total.most / 1e6
        return result.total.percentiles([float(self.what[1:])])[0] / 1e6

    def met(self, result: Result) -> bool:
        """No, where nothing was answered."""
        if not result.answered:
            return False
        found = self.found(result)
        return found < self.bound if self.less else found > self.bound


def parse_requirement(text: str) -> Requirement:
    """Raises ValueError, whose text says what would be right."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"must be like {FORM}")
    what, sign, bound = found[1], found[2], found[3]
    if what == "errors":
        percent = _PERCENT.fullmatch(bound)
        if percent is None:
            raise ValueError("errors are compared with a share, such as errors<0.1%")
        value = float(percent[1]) / 100
    elif what == "rate":
        value = parse_rate(bound)
    else:
        value = parse_duration(bound)
    return Requirement(what=what, less=sign == "<", bound=value)
