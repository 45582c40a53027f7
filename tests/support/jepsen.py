"""A run in the manner of Jepsen: clients, devices, a nemesis, and the checkers over everybody's journals.

``python -m tests.support.jepsen --seconds 120 --seed 7``. The clients and the devices live in this process, the proxy
in one of its own, which is killed now and then. Exit code 1 says that something was violated.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs
import trio

from guardian.pki import PkiFiles, make_pki
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.identity import Directory, Identity
from loadtest.simhsm.latency import LogNormal
from loadtest.simhsm.session import SessionLimits

from .checkers import Violation, check
from .estate import client_tls, configuration, device_tls
from .histories import History, Promises
from .lives import BLOCKED, Client, Traffic, Who
from .nemesis import BUSY, DEEDS, KEY_DEEDS, WORKER_DEEDS, Nemesis, Operator, group_of
from .process import Running, running

CLIENTS: Final = 30
IDENTITIES: Final = 6
DEVICES: Final = ("hsm1", "hsm2", "hsm3", "hsm4")
WHO: Final = tuple(Who(f"id{n}", f"user{n}", f"password{n}") for n in range(IDENTITIES))
DIRECTORY: Final = Directory(identities=tuple(Identity(name=who.user, password=who.password) for who in WHO))
ALL: Final = Promises(quorum=3)  # of four devices the majority
SETTLED: Final = 90.0  # seconds until all devices are in service when nothing goes wrong any more

_COMMON: Final = f"""
    ping: {{request: "[AOECHO;AGping;]", interval: 300ms, timeout: 300ms, fall: 2, rise: 1}}
    ejection: {{failures: 5, base: 500ms, max: 2s}}
    slow_start: 500ms
    request_timeout: 3s
    queue: {{size: 1024, timeout: 2s}}
    retries: {{attempts: 2, attempt_timeout: 500ms, budget: 0.5}}
    functions: {{mode: enforce, allow: ["*"], block: [{BLOCKED.decode()}]}}
"""
_SESSIONS: Final = """
    sessions: {login: [{command: RKLG, success: {tag: AN, value: Y}}], share: identity, failures: 100}
"""
_WRITES: Final = """
    writes: {mode: replicate, quorum: majority, nondeterministic: stale, primary_loss: promote, journal: writes.journal}
"""
_NO_COPIES: Final = """
    writes: {mode: balance}
"""
_LIKENESS: Final = """
    identity: {probes: [{request: "[AOGPKM;]", compare: body}], interval: 1s, timeout: 500ms, action: enforce}
"""


@attrs.frozen
class Plan:
    seconds: float
    seed: int = 0
    promises: Promises = ALL
    group: str | None = None  # the group's settings as YAML, instead of those that follow from the promises
    elsewhere: str = ""  # YAML for the end of the file
    workers: int = 1
    pace: float = 1.0  # seconds between two deeds of the nemesis, on average
    deeds: tuple[str, ...] | None = None  # by default all that the promises allow for

    @property
    def all_deeds(self) -> tuple[str, ...]:
        keys = KEY_DEEDS if self.promises.likeness else ()
        return self.deeds or DEEDS + keys + (WORKER_DEEDS if self.workers > 1 else ())

    @property
    def settings(self) -> str:
        if self.group is not None:
            return self.group
        wanted = (
            (self.promises.sessions, _SESSIONS),
            (self.promises.writes, _WRITES),
            (not self.promises.writes, _NO_COPIES),
            (self.promises.likeness, _LIKENESS),
        )
        return _COMMON + "".join(text for asked, text in wanted if asked)


@attrs.frozen
class Result:
    history: History
    violations: list[Violation]
    diary: list[tuple[float, str]]
    counts: Counter[str]  # of answers: code, or ERRO and its number
    settled: bool  # whether all devices were in service again at the end


@attrs.define(eq=False)
class _Proxy:
    """The process that serves now, if one does."""

    config: Path
    current: Running | None = None
    _dead: trio.Event = attrs.field(factory=trio.Event)
    _alive: trio.Event = attrs.field(factory=trio.Event)

    async def keep(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run it, and another one whenever it was killed."""
        while True:
            self._dead = trio.Event()
            async with running(self.config) as process:
                self.current = process
                self._alive.set()
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                await self._dead.wait()
                workers = _children(process.process.pid)
                process.process.kill()
                self.current = None
            await _ended(workers)  # they answer what is outstanding, and the journal is theirs until then

    async def kill(self) -> None:
        self._alive = trio.Event()
        self._dead.set()
        await self._alive.wait()

    def kill_worker(self, random: Random) -> None:
        """One of several, if there are any just now."""
        if self.current is not None:
            workers = _children(self.current.process.pid)
            if workers:
                os.kill(random.choice(workers), signal.SIGKILL)

    def address(self) -> tuple[str, int]:
        """Where clients are served. Raises LookupError while nobody serves them."""
        if self.current is None:
            raise LookupError
        return self.current.address

    async def status(self) -> dict[str, Any]:
        """Raises OSError while nobody serves."""
        if self.current is None:
            raise OSError
        return await group_of(self.current.admin)


async def perform(plan: Plan, folder: Path) -> Result:
    """Run it. What was violated is in the result; a failure of the harness itself raises."""
    random = Random(plan.seed)
    pki = make_pki(
        folder / "pki",
        algorithm="ecdsa",
        clients=[who.identity for who in WHO],
        devices=dict.fromkeys(DEVICES, ("127.0.0.1",)),
    )
    devices = {name: new_device(pki, name, plan, seed) for seed, name in enumerate(DEVICES)}
    async with _serving(devices, pki, plan, folder) as proxy, trio.open_nursery() as nursery:
        major_key = devices["hsm1"].hsm.major_key
        contexts = {who.identity: client_tls(pki, who.identity) for who in WHO}
        traffic = Traffic(proxy.address, contexts.__getitem__, plan.promises, major_key)
        operator = Operator(devices, proxy.status)
        chance = Random(random.random())
        nemesis = Nemesis(devices, chance, proxy.kill, operator.in_service, plan.all_deeds, plan.pace)
        nemesis.kill_worker = proxy.kill_worker
        nemesis.requests = traffic.asked.__len__
        operator.doubtful = nemesis.troubled
        assert await settle(operator), "the devices never came into service"
        evil = await nursery.start(cancellable, nemesis.run)
        nursery.start_soon(operator.run)
        await live(traffic, random, plan.seconds, evil)
        await nemesis.put_right()
        settled = await settle(operator)
        in_service = [name for name, state in (await operator.look()).items() if state == "in service"]
        nursery.cancel_scope.cancel()
    return judged(traffic, devices, in_service, nemesis.diary, settled)


async def live(traffic: Traffic, random: Random, seconds: float, evil: trio.CancelScope) -> None:
    """Let all clients live for so long, on a slow machine for longer; evil ends before they do."""
    async with trio.open_nursery() as nursery:
        for number in range(CLIENTS):
            client = Client(number, WHO[number % IDENTITIES], traffic, Random(random.random()))
            nursery.start_soon(client.run)
        await _breathe(traffic, seconds)
        with trio.move_on_after(9 * seconds):
            while len(traffic.asked) < BUSY * seconds:
                await _breathe(traffic, 1.0)
        evil.cancel()
        traffic.stop = True


def judged(
    traffic: Traffic,
    devices: Mapping[str, SimulatedDevice],
    in_service: Iterable[str],
    diary: list[tuple[float, str]],
    settled: bool,
) -> Result:
    bugs = [bug for device in devices.values() for bug in device.hsm.bugs]
    assert not bugs, bugs
    history = History(
        asked=traffic.asked,
        devices={name: list(device.journal) for name, device in devices.items()},
        promises=traffic.promises,
        tables={name: _table(devices[name]) for name in in_service},
    )
    return Result(history, check(history), diary, _counts(history), settled)


async def _breathe(traffic: Traffic, seconds: float) -> None:
    """Let time go by. Now and then nobody writes for a while, so that a device that was behind can be shown equal."""
    end = trio.current_time() + seconds
    while (left := end - trio.current_time()) > 0:
        await trio.sleep(min(left, 4.0))
        traffic.writing = False
        await trio.sleep(min(max(0.0, end - trio.current_time()), 2.0))
        traffic.writing = True


async def settle(operator: Operator) -> bool:
    with trio.move_on_after(SETTLED):
        while set((await operator.look()).values()) != {"in service"}:
            await trio.sleep(0.1)
        return True
    return False


async def cancellable(work: Callable[[], Awaitable[None]], task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    with trio.CancelScope() as scope:
        task_status.started(scope)
        await work()


@asynccontextmanager
async def _serving(
    devices: dict[str, SimulatedDevice], pki: PkiFiles, plan: Plan, folder: Path
) -> AsyncIterator[_Proxy]:
    async with trio.open_nursery() as nursery:
        entries: dict[str, str] = {}
        for name, device in devices.items():
            await nursery.start(device.serve)
            entries[name] = f'address: "127.0.0.1:{device.port}", role: {"production" if entries else "primary"}'
        config = folder / "guardian.yaml"
        config.write_text(
            configuration(pki, entries, group=plan.settings) + plan.elsewhere + f"workers: {plan.workers}\n"
        )
        proxy = _Proxy(config)
        await nursery.start(proxy.keep)
        yield proxy
        nursery.cancel_scope.cancel()


def new_device(pki: PkiFiles, name: str, plan: Plan, seed: int) -> SimulatedDevice:
    limits = SessionLimits(idle=0.7, age=2.0, requests=100) if plan.promises.sessions else SessionLimits()
    return SimulatedDevice(
        name,
        tls=device_tls(pki, name),
        directory=DIRECTORY,
        session_limits=limits,
        latency=LogNormal(0.002, 0.02),
        capacity=16,
        seed=plan.seed + seed,
    )


def _children(pid: int) -> list[int]:
    """Whichever of its threads has started them."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


async def _ended(pids: Iterable[int]) -> None:
    with trio.fail_after(60):
        while any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids):
            await trio.sleep(0.02)


def _table(device: SimulatedDevice) -> dict[int, bytes]:
    table = device.hsm.table
    return {number: key.material for number in table if (key := table[number].key) is not None}


def _counts(history: History) -> Counter[str]:
    counts: Counter[str] = Counter()
    for asked in history.asked:
        if asked.answer is None:
            counts["no answer, the connection ended"] += 1
        else:
            counts[f"ERRO {asked.error}" if asked.error is not None else asked.code.decode()] += 1
    return counts


def report(result: Result) -> str:
    """What happened, for a person; no more than fifty violations."""
    kinds = Counter(violation.checker for violation in result.violations)
    deeds = Counter(text.partition(" ")[2] if text.startswith("hsm") else text for _, text in result.diary)
    lines = [
        f"{len(result.history.asked)} requests; all devices in service at the end: {result.settled}",
        "answers: " + ", ".join(f"{name} {number}" for name, number in result.counts.most_common()),
        "deeds: " + ", ".join(f"{text} {number}" for text, number in deeds.most_common()),
        f"violations: {dict(kinds) or 'none'}",
    ]
    lines += [f"  {violation.checker}: {violation.text}" for violation in result.violations[:50]]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.jepsen", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="of traffic")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pace", type=float, default=1.0, help="seconds between two deeds, on average")
    parser.add_argument("--workers", type=int, default=1, help="of the proxy")
    every_deed = DEEDS + KEY_DEEDS + WORKER_DEEDS
    parser.add_argument("--deed", dest="deeds", choices=every_deed, action="append", help="these and no others")
    parser.add_argument("--without", choices=["sessions", "writes", "likeness"], action="append", default=[])
    parser.add_argument("--group", type=Path, help="a file of the group's settings, instead of those of the run")
    given = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    promises = attrs.evolve(ALL, **dict.fromkeys(given.without, False))
    group = given.group.read_text() if given.group else None
    deeds = tuple(given.deeds) if given.deeds else None
    plan = Plan(given.seconds, given.seed, promises, group, workers=given.workers, pace=given.pace, deeds=deeds)
    with tempfile.TemporaryDirectory() as folder:
        result = trio.run(perform, plan, Path(folder))
    print(f"seed {given.seed}\n{report(result)}")
    return 1 if result.violations or not result.settled else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
