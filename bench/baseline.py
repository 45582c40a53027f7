"""What a request costed when somebody last looked: one file for each way of running Python, in `baselines/`."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

FOLDER: Final = Path(__file__).with_name("baselines")
TOLERANCE: Final = 0.10


@attrs.frozen(kw_only=True)
class Runtime:
    """What figures depend on beside our sources: they can be compared only where all of it is the same."""

    python: str  # such as 3.11.7
    machine: str
    optimised: bool  # the interpreter was built with profiles of its own runs
    compiled_by: str  # the C compiler of the data path; empty where it runs interpreted

    @property
    def name(self) -> str:
        built = "optimised" if self.optimised else "plain"
        return f"cpython-{self.python}-{built}-{self.machine}-{'compiled' if self.compiled_by else 'interpreted'}"

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.json"


def this_runtime(*, compiled: bool) -> Runtime:
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return Runtime(
        python=platform.python_version(),
        machine=platform.machine(),
        optimised="--enable-optimizations" in options,
        compiled_by=_compiler() if compiled else "",
    )


def _compiler() -> str:
    """Its name and version, as it says."""
    command = shlex.split(sysconfig.get_config_var("CC") or "cc")[0]
    try:
        done = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - as setup
    except OSError:
        return "unknown"
    return done.stdout.partition("\n")[0] or "unknown"


def load(runtime: Runtime) -> dict[str, float] | None:
    """Instructions per request by case; None where there is no baseline for exactly this."""
    if not runtime.file.exists():
        return None
    kept = json.loads(runtime.file.read_text())
    return dict(kept["instructions"]) if kept["runtime"] == attrs.asdict(runtime) else None


def accept(runtime: Runtime, figures: Mapping[str, float]) -> Path:
    """These are right from now on; what was not counted this time stays. Gives the file."""
    kept = {**(load(runtime) or {}), **{name: round(value) for name, value in figures.items()}}
    FOLDER.mkdir(exist_ok=True)
    runtime.file.write_text(json.dumps({"runtime": attrs.asdict(runtime), "instructions": kept}, indent=2) + "\n")
    return runtime.file


def worse(figures: Mapping[str, float], baseline: Mapping[str, float]) -> list[str]:
    """The cases that take more instructions than is tolerated."""
    return [name for name, value in figures.items() if name in baseline and value > baseline[name] * (1 + TOLERANCE)]
