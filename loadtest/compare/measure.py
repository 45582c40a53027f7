"""One measured run: load through a contender, and who used how much CPU meanwhile."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from loadtest.native.programs import Credentials, Load, LoadResult, parse_result

from .contenders import Contender
from .cpu import CpuSample
from .figures import CpuUse, Measurement
from .processes import Processes, Program

GRACE: Final = 30.0  # seconds a run may take beyond what was asked for


@attrs.frozen(kw_only=True)
class Bench:
    """What stays the same for all runs."""

    processes: Processes
    closed_loop: Path
    client: Credentials
    devices: Sequence[Program]


def _read_line(generator: Program, deadline: float) -> str:
    """The generator's next line. Raises ProgramError when it ends or `deadline` passes."""
    out = generator.process.stdout
    assert out is not None, "it was started with a pipe"
    ready, _, _ = select.select([out], [], [], max(0.0, deadline - time.monotonic()))
    if not ready:
        raise generator.failed("gave no result in time")
    line = out.readline()
    if not line:
        generator.process.wait(timeout=GRACE)
        raise generator.failed("ended without a result")
    return line


def start_load(bench: Bench, load: Load) -> Program:
    """Start closed_loop; `wait_measuring` and `wait_result` read what it says."""
    command: list[str | Path] = [bench.closed_loop, *bench.client.options(), *load.options()]
    return bench.processes.start("closed_loop", command, piped=True)


def latest_end(load: Load) -> float:
    """By when closed_loop is done, if it is started now: as time.monotonic tells."""
    return time.monotonic() + load.warmup + load.seconds + load.timeout + GRACE


def wait_measuring(generator: Program, deadline: float) -> None:
    """Until the measured window begins. Raises ProgramError."""
    event = _read_line(generator, deadline)
    assert json.loads(event) == {"event": "measuring"}, event


def wait_result(generator: Program, deadline: float) -> str:
    """The line with the result. Raises ProgramError."""
    return _read_line(generator, deadline)


def run_load(bench: Bench, load: Load, pids: Sequence[int]) -> tuple[LoadResult, CpuSample, CpuSample]:
    """Let closed_loop run once, with the CPU used until the measured window began and until it ended."""
    generator = start_load(bench, load)
    try:
        deadline = latest_end(load)
        wait_measuring(generator, deadline)
        before = CpuSample.take(pids)
        result = parse_result(wait_result(generator, deadline))
        return result, before, CpuSample.take(pids)
    finally:
        bench.processes.stop(generator)


def _use(pid: int, before: CpuSample, after: CpuSample) -> CpuUse:
    return CpuUse(used=after.tree(pid) - before.tree(pid), wanted=after.wanted[pid] - before.wanted[pid])


def measure(bench: Bench, contender: Contender, load: Load, *, turn: int) -> Measurement:
    """Measure one contender once. `turn` is the round's number. Raises ProgramError, LoadError."""
    programs = [*bench.devices, *([contender.program] if contender.program is not None else [])]
    load = attrs.evolve(load, addresses=contender.addresses)
    try:
        result, before, after = run_load(bench, load, [program.pid for program in programs])
    finally:
        for program in programs:
            program.check()  # whoever ended meanwhile is the reason for whatever else went wrong
    devices = [_use(device.pid, before, after) for device in bench.devices]
    proxy = _use(contender.program.pid, before, after) if contender.program is not None else None
    generator = CpuUse(used=result.cpu_seconds, wanted=result.wanted_seconds)
    ours = generator.used + sum(device.used for device in devices) + (proxy.used if proxy is not None else 0.0)
    return Measurement(
        contender=contender.name,
        clients=load.clients,
        round=turn,
        requests=result.requests,
        errors=result.errors,
        wrong=result.wrong,
        lost_connections=result.lost_connections,
        late=result.late,
        seconds=result.seconds,
        p50=result.latency["p50"],
        p99=result.latency["p99"],
        p999=result.latency["p99.9"],
        proxy=proxy,
        generator=generator,
        devices=devices,
        others=max(0.0, after.machine - before.machine - ours),
    )
