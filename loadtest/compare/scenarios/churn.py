"""Runs the native program `churn`: connections one after the other."""

from __future__ import annotations

import json
import time
from pathlib import Path

import attrs

from loadtest.compare.contenders import Contender
from loadtest.compare.cpu import read_processes, tree_seconds
from loadtest.compare.measure import GRACE, wait_measuring, wait_result
from loadtest.compare.stage import Stage
from loadtest.compare.workshop import Effort
from loadtest.native.programs import LoadError


@attrs.frozen(kw_only=True)
class Churned:
    connections: int
    resumed: int
    cpu: float  # seconds of the proxy

    @property
    def cost(self) -> float:
        """Microseconds of the proxy's CPU per connection."""
        return self.cpu / self.connections * 1e6


def churn(stage: Stage, contender: Contender, effort: Effort, *options: str) -> Churned:
    """Open and close connections for a while. Raises ProgramError, LoadError when one failed."""
    assert contender.program is not None, "only proxies are measured so"
    (address,) = contender.addresses
    seconds = effort.seconds * 0.75
    command: list[str | Path] = [stage.programs.churn, "--connect", address, *stage.pki.client.options(), *options]
    command += ["--seconds", str(seconds), "--warmup", str(effort.warmup)]
    generator = stage.processes.start("churn", command, piped=True)
    try:
        deadline = time.monotonic() + seconds + effort.warmup + GRACE
        wait_measuring(generator, deadline)
        before = tree_seconds(read_processes(), contender.program.pid)
        told = json.loads(wait_result(generator, deadline))
        after = tree_seconds(read_processes(), contender.program.pid)
    finally:
        stage.processes.stop(generator)
        contender.program.check()
    if told["failed"] or not told["connections"]:
        raise LoadError(f"{contender.name}: {told['failed']} of its connections failed, {told['connections']} did not")
    return Churned(connections=told["connections"], resumed=told["resumed"], cpu=after - before)
