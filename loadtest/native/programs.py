"""Builds and calls the C programs of this folder."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

SOURCE: Final = Path(__file__).parent


class BuildError(Exception):
    """The programs cannot be built here; the text says what is missing."""


class LoadError(Exception):
    """closed_loop gave no result; the text is its own reason."""


@attrs.frozen(kw_only=True)
class Credentials:
    """PEM files with which one side of a TLS connection shows who it is and checks the other."""

    certificate: Path
    key: Path
    ca: Path

    def options(self) -> list[str]:
        return ["--cert", str(self.certificate), "--key", str(self.key), "--ca", str(self.ca)]


@attrs.frozen(kw_only=True)
class Programs:
    echo_device: Path
    closed_loop: Path
    churn: Path
    hold: Path


def build(folder: Path | None = None) -> Programs:
    """Build what is out of date, by default beside the source, or in `folder`. Raises BuildError."""
    for tool, package in (("make", "make"), ("cc", "gcc")):
        if shutil.which(tool) is None:
            raise BuildError(f"{tool} is missing; Debian: apt-get install {package} libssl-dev")
    # make knows what depends on what by the names it built under, so never name the default folder in another way.
    target = SOURCE / "build" if folder is None else folder
    command = ["make", "-C", str(SOURCE), *([] if folder is None else [f"BUILD={folder}"])]
    with (SOURCE / "Makefile").open() as makefile:
        fcntl.flock(makefile, fcntl.LOCK_EX)  # two builds at once would read what the other has half written
        made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if made.returncode != 0:
        reason = made.stderr.strip()
        hint = "; Debian: apt-get install libssl-dev" if "openssl/" in reason and "No such file" in reason else ""
        raise BuildError(f"the programs of {SOURCE} do not build{hint}\n{reason}")
    return Programs(
        echo_device=target / "echo_device",
        closed_loop=target / "closed_loop",
        churn=target / "churn",
        hold=target / "hold",
    )


@attrs.frozen(kw_only=True)
class Load:
    """What closed_loop is to do. Durations in seconds."""

    addresses: Sequence[str]
    clients: int
    depth: int = 1
    seconds: float = 4.0
    warmup: float = 0.0
    timeout: float = 10.0
    sizes: tuple[int, int] = (64, 300)
    commands: Sequence[str] = ("ECHO",)
    seed: int = 1
    echo: bool = True  # an answer must be its request, byte for byte
    rate: float = 0.0  # requests per second of an open loop; 0: a closed one
    busy_every: int = 1  # only every so manieth client asks
    login: bool = False  # each client logs in first, as a user of its own
    reconnect: bool = False  # a lost client connects again
    slow: float = 0.0  # seconds; an answer that takes longer counts as affected; 0: none does

    def options(self) -> list[str]:
        options = ["--connect", ",".join(self.addresses), "--clients", str(self.clients), "--depth", str(self.depth)]
        options += ["--seconds", str(self.seconds), "--warmup", str(self.warmup), "--timeout", str(self.timeout)]
        options += ["--size", f"{self.sizes[0]}:{self.sizes[1]}", "--commands", ",".join(self.commands)]
        options += ["--seed", str(self.seed)]
        if self.rate:
            options += ["--rate", f"{self.rate:.3f}"]
        if self.busy_every > 1:
            options += ["--busy-every", str(self.busy_every)]
        if self.slow:
            options += ["--slow", str(self.slow * 1e3)]
        flags = {"--echo": self.echo, "--login": self.login, "--reconnect": self.reconnect}
        return [*options, *(flag for flag, wanted in flags.items() if wanted)]


@attrs.frozen(kw_only=True)
class LoadResult:
    """What closed_loop found. Latencies are microseconds from sending a request to having its whole answer; in an open
    loop from when it was due."""

    clients: int
    requests: int  # right answers in the measured window
    errors: int  # error answers, and requests whose connection ended or that timed out
    wrong: int  # answers to something else
    lost_connections: int
    late: int  # of an open loop: sent 1 ms after they were due though a connection was free
    affected: int  # lost, wrong, an error, or slower than asked
    last_affected: float | None  # when the last of them was known, as time.monotonic tells; None: none was
    seconds: float
    cpu_seconds: float  # of closed_loop itself
    wanted_seconds: float  # how long closed_loop had work to do: it ran, or waited for a core
    latency: Mapping[str, float]  # min, mean, p50, p99, p99.9, max
    histogram: Sequence[tuple[float, int]]  # upper end of each bucket, count

    @property
    def clean(self) -> bool:
        return not (self.errors or self.wrong or self.lost_connections)


def parse_result(line: str) -> LoadResult:
    """Read closed_loop's last line. Raises LoadError when it is something else."""
    try:
        told: dict[str, Any] = json.loads(line)
        return LoadResult(
            clients=told["clients"],
            requests=told["requests"],
            errors=told["errors"],
            wrong=told["wrong"],
            lost_connections=told["lost_connections"],
            late=told["late"],
            affected=told["affected"],
            last_affected=told["last_affected_s"] if told["affected"] else None,
            seconds=told["duration_s"],
            cpu_seconds=told["cpu_s"],
            wanted_seconds=told["wanted_s"],
            latency=told["latency_us"],
            histogram=[(upper, count) for upper, count in told["histogram_us"]],
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise LoadError(f"not a result of closed_loop: {line[:200]!r}") from exc
