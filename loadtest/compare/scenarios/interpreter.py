"""What another interpreter of the same version gains."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from loadtest.compare.contenders import Contender
from loadtest.compare.readings import Figure
from loadtest.compare.stage import Stage
from loadtest.compare.workshop import Workshop

from .scenario import Scenario

CLIENTS: Final = 64
_CALL: Final = "import sys; from guardian.cli import main; sys.argv[0] = 'guardian'; main()"
_FACTS: Final = "import platform, sys; print(sys.base_prefix, platform.python_version(), sep='\\n')"


@attrs.frozen
class Interpreter:
    command: Path
    version: str


def find_other(places: Sequence[str] | None = None) -> Interpreter | None:
    """The first in ``places`` (those of PATH) of the same version, which can load what ours has installed.

    It must not be ours by another name: managers of interpreters have programs that choose one.
    """
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for place in os.get_exec_path() if places is None else places:
        found = Path(place, name)
        if not os.access(found, os.X_OK):
            continue
        said = subprocess.run([found, "-c", _FACTS], capture_output=True, text=True, check=False, timeout=10)
        prefix, _, version = said.stdout.strip().partition("\n")
        if not said.returncode and prefix != sys.base_prefix:
            return Interpreter(found, version)
    return None


def command_of(interpreter: Path) -> list[str | Path]:
    """`guardian` under another interpreter, with the packages of ours."""
    installed = Path(sysconfig.get_path("purelib"))
    found = importlib.util.find_spec("guardian")
    assert found is not None, "it is what is measured"
    assert found.origin is not None, "it is a package with an __init__.py"
    source = Path(found.origin).parents[1]
    path = str(installed) if (installed / "guardian").is_dir() else f"{source}:{installed}"
    return ["env", f"PYTHONPATH={path}", interpreter, "-P", "-c", _CALL]  # -P: nothing from the current folder


def _contenders(stage: Stage, other: Path) -> list[tuple[Contender, Contender]]:
    """With our interpreter and with the other, for each use of devices."""
    return [
        (
            stage.guardian(pipeline),
            stage.guardian(pipeline, name=f"guardian {label}, other", command=command_of(other)),
        )
        for pipeline, label in ((64, "64x1"), (1, "1x8"))
    ]


def _measure(workshop: Workshop, stage: Stage, contender: Contender, turn: int) -> float | None:
    """Microseconds per request; None where nothing was answered."""
    measured = workshop.measure("interpreter", stage, contender, workshop.load(CLIENTS), turn)
    workshop.read("cpu.interpreter", measured, measured.cost)
    return measured.cost


def run(workshop: Workshop) -> None:
    other = find_other()
    if other is None:
        workshop.remarks.append("interpreter: no other interpreter of this version was found")
        return
    workshop.remarks.append(f"interpreter: the other one is Python {other.version}")
    with workshop.stage() as stage:
        contenders = _contenders(stage, other.command)
        for turn in range(1, min(3, workshop.effort.rounds) + 1):
            for ours, its in contenders:
                cost = _measure(workshop, stage, ours, turn)
                other_cost = _measure(workshop, stage, its, turn)
                if cost and other_cost:
                    workshop.readings.add("share.interpreter", its.name, turn, other_cost / cost)


SCENARIO: Final = Scenario(
    name="interpreter",
    title="Another interpreter",
    note=(
        f"{CLIENTS} clients, as in the first table, with the interpreter that runs this and with another of"
        " the same version. Distributions build theirs with optimisation. The same packages,"
        " the same compiled data path."
    ),
    figures=[
        Figure(name="cpu.interpreter", title=f"CPU per request, {CLIENTS} clients", unit="µs"),
        Figure(name="share.interpreter", title="the other's, over ours", unit="", digits=2),
    ],
    run=run,
)
