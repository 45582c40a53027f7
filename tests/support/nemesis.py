"""What goes wrong during a run, by chance from a seed, and the operator who puts devices right again."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from random import Random
from typing import Any, Final

import attrs
import trio

from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.faults import Fault, FaultMix

DEEDS: Final = ("proxy", "kill", "hang", "cut", "trouble")
KEY_DEEDS: Final = ("empty", "old")  # after which a device must not serve
WORKER_DEEDS: Final = ("worker",)  # where there are several
WRITES: Final = ("TIME", "GPKA", "GPKD")  # that clients send
MOST_IN_TROUBLE: Final = 2  # devices at once
BUSY: Final = 100  # requests a second that a machine with time for us does at least
NOTICED: Final = 1.0  # seconds after which the proxy has seen what happened

Deed = Callable[[str, SimulatedDevice], Awaitable[None]]


@attrs.define(eq=False)
class Nemesis:
    """``kill_proxy`` ends the proxy at once and returns when another serves; ``in_service`` asks the proxy of a device.
    ``kill_worker`` ends one of its processes, where it has several.

    Each deed is done once, in an order of chance, before any is done again. `diary`: what was done, and when.
    """

    devices: Mapping[str, SimulatedDevice]
    random: Random
    kill_proxy: Callable[[], Awaitable[None]]
    in_service: Callable[[str], bool]
    deeds: Sequence[str]  # of DEEDS and those below, or "swallow"
    pace: float = 1.0  # seconds between two deeds, on average
    diary: list[tuple[float, str]] = attrs.field(factory=list)
    requests: Callable[[], int] | None = None  # sent so far: the next deed waits until clients have seen the last one
    kill_worker: Callable[[Random], None] | None = None
    troubled: set[str] = attrs.field(factory=set)  # from the deed until the proxy says that it serves again

    async def run(self) -> None:
        """Until cancelled; then nothing is put right."""
        todo = list(self.deeds)
        self.random.shuffle(todo)
        async with trio.open_nursery() as nursery:
            while True:
                seen = self.requests() if self.requests is not None else 0
                await trio.sleep(self.random.expovariate(1 / self.pace))
                while self.requests is not None and self.requests() < seen + BUSY * self.pace:
                    await trio.sleep(0.05)
                well = [name for name in self.devices if name not in self.troubled]
                if len(self.troubled) >= MOST_IN_TROUBLE or not well:
                    continue
                what = todo.pop() if todo else self.random.choice(self.deeds)
                if what == "proxy":
                    self._note("the proxy is killed")
                    await self.kill_proxy()
                    continue
                if what == "worker" and self.kill_worker is not None:
                    self._note("a worker is killed")
                    self.kill_worker(self.random)
                    continue
                nursery.start_soon(self._do, what, self.random.choice(well))

    async def put_right(self) -> None:
        """Bring every device in trouble back, with whatever keys it has."""
        for name in self.troubled:
            self.devices[name].fault = None
            await self.devices[name].restart()
        self.troubled.clear()
        self._note("all devices are put right")

    async def _do(self, what: str, name: str) -> None:
        """Leave the device alone until it serves again, lest all of them are behind and nobody knows the keys."""
        self.troubled.add(name)
        deeds: dict[str, Deed] = {
            "kill": self._kill,
            "hang": self._hang,
            "cut": self._cut,
            "trouble": self._trouble,
            "swallow": self._swallow,
            "empty": self._empty,
            "old": self._old,
        }
        await deeds[what](name, self.devices[name])
        await trio.sleep(NOTICED)
        while not self.in_service(name):
            await trio.sleep(0.05)
        self.troubled.discard(name)

    async def _kill(self, name: str, device: SimulatedDevice) -> None:
        self._note(f"{name} is killed")
        await device.kill()
        await trio.sleep(self.random.uniform(0.0, 1.5))
        await device.restart()
        self._note(f"{name} is back")

    async def _empty(self, name: str, device: SimulatedDevice) -> None:
        self._note(f"{name} comes back empty")
        await device.restart(empty_keys=True)

    async def _old(self, name: str, device: SimulatedDevice) -> None:
        old = device.hsm.table.copy()
        await trio.sleep(self.random.uniform(0.5, 2.0))
        self._note(f"{name} comes back old")
        await device.restart(keys=old)

    async def _hang(self, name: str, device: SimulatedDevice) -> None:
        self._note(f"{name} hangs")
        device.fault = Fault.hang()
        await trio.sleep(self.random.uniform(0.2, 2.5))
        device.fault = None
        device.reset_connections()
        self._note(f"{name} hangs no more")

    async def _cut(self, name: str, device: SimulatedDevice) -> None:
        self._note(f"{name} loses its connections")
        device.reset_connections()

    async def _trouble(self, name: str, device: SimulatedDevice) -> None:
        self._note(f"{name} is unreliable")
        shares = {"reset": 0.03, "close_half": 0.02, "late": 0.05, "repeat": 0.02, "garbage": 0.01, "wrong_echo": 0.01}
        # Late enough that the proxy asks another device before the answer comes.
        device.fault = FaultMix(seed=self.random.randrange(1 << 30), delay=0.7, **shares)
        await trio.sleep(self.random.uniform(0.3, 1.5))
        device.fault = None
        self._note(f"{name} is reliable again")

    async def _swallow(self, name: str, device: SimulatedDevice) -> None:
        """Every write is run and loses its answer: what "trouble" brings about now and then."""
        self._note(f"{name} answers no write")
        device.fault = Fault.reset(*WRITES)
        await trio.sleep(self.random.uniform(0.3, 1.5))
        device.fault = None
        self._note(f"{name} answers writes again")

    def _note(self, text: str) -> None:
        self.diary.append((time.monotonic(), text))


@attrs.define(eq=False)
class Operator:
    """Gives every device that the proxy calls unsafe the key table of one in service, as a vendor's tools would.

    A device of `doubtful` is never copied from: the proxy may not have seen yet what happened to it. Nor is anything
    copied in the middle of a write, or where one has run since the proxy was asked: its answer is late by then, the
    device may serve and have the write, and the copy would take that away.
    """

    devices: Mapping[str, SimulatedDevice]
    status: Callable[[], Awaitable[dict[str, Any]]]  # the group as `/status` shows it; OSError where nobody says
    doubtful: Set[str] = frozenset()
    every: float = 0.3  # seconds between two looks
    copies: int = 0
    states: dict[str, str] = attrs.field(factory=dict)  # as `look` found them last

    async def run(self) -> None:
        while True:
            await trio.sleep(self.every)
            await self.look()

    def in_service(self, name: str) -> bool:
        return self.states.get(name) == "in service"

    async def look(self) -> dict[str, str]:
        """Do it once. The health of each device, "in service" where it is; empty when the proxy is not there."""
        self.states = {}
        before = self._versions()
        try:
            group = await self.status()
        except OSError:
            return {}
        listed = group["devices"]
        serving = [entry for entry in listed if entry["in_service"] and entry["name"] not in self.doubtful]
        serving.sort(key=lambda entry: entry["role"] != "primary")
        if serving and not group["writes"]["under_way"] and self._versions() == before:
            for entry in listed:
                if entry["health"] == "unsafe":
                    self.devices[entry["name"]].hsm.table = self.devices[serving[0]["name"]].hsm.table.copy()
                    self.copies += 1
        self.states = {entry["name"]: "in service" if entry["in_service"] else entry["health"] for entry in listed}
        return self.states

    def _versions(self) -> dict[str, int]:
        return {name: device.hsm.table.version for name, device in self.devices.items()}


async def group_of(address: tuple[str, int]) -> dict[str, Any]:
    """The only group in `/status`. Raises OSError."""
    request = f"GET /status HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nConnection: close\r\n\r\n"
    received = b""
    with trio.move_on_after(2):
        try:
            async with await trio.open_tcp_stream(*address) as stream:
                await stream.send_all(request.encode())
                async for data in stream:
                    received += data
        except trio.BrokenResourceError as exc:
            raise OSError from exc
    try:
        group: dict[str, Any] = json.loads(received.partition(b"\r\n\r\n")[2])["groups"][0]
    except (ValueError, LookupError) as exc:
        raise OSError("no status") from exc
    return group
