"""One thing that was looked at, and what came of it. Pure."""

from __future__ import annotations

import enum

import attrs


class Verdict(enum.Enum):
    OK = "ok"
    WARNING = "warning"  # works, and will not for long, or not as one would think
    PROBLEM = "problem"  # does not work


@attrs.frozen
class Finding:
    """``told``: what was found, and what to do where it is not fine; one line for people, without any secret."""

    verdict: Verdict
    about: str
    told: str


def ok(about: str, told: str) -> Finding:
    return Finding(Verdict.OK, about, told)


def warning(about: str, told: str) -> Finding:
    return Finding(Verdict.WARNING, about, told)


def problem(about: str, told: str) -> Finding:
    return Finding(Verdict.PROBLEM, about, told)
