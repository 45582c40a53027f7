"""A worker's side of its orders: what it answers, what it then runs on, and how it ends."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import trio

from balancer.snapshot import ProxyState
from config.loader import load
from config.model import Config, Shutdown
from guardian.proxy import Proxy
from guardian.ready import Ready
from guardian.workers import worker as worker_module
from guardian.workers.channel import Channel, Refused, channel_pair
from guardian.workers.handing import Handing
from guardian.workers.worker import Worker

TEXT = """\
listeners:
  - {name: excrypt, bind: "127.0.0.1:0", group: payments, tls: {mode: clear}}
groups:
  - name: payments
    tls: {mode: clear}
    devices: [{name: hsm1, address: "127.0.0.1:1", role: primary, connections: 8}]
workers: 4
shutdown: {drain_notice: 7s, spread: 3s, timeout: 5s}
"""


class FakeProxy:
    """Notes what is asked of it, in order."""

    def __init__(self) -> None:
        self.state = ProxyState.STARTING
        self.steps: list[str] = []
        self.config: Config
        self.cannot = ""  # adopt, for this reason
        self.intake = self
        self.addresses = {"excrypt": "127.0.0.1:9100"}
        self.devices = ()  # none that has to be looked at first

    def hold_back(self) -> None:
        self.steps.append("hold back")

    def let_in(self) -> None:
        self.steps.append("let in")

    def offer(self, sockets: Sequence[object], owners: object) -> None:
        self.steps.append("offer")

    def withdraw(self) -> None:
        self.steps.append("withdraw")

    def adopt(self, ready: Ready) -> None:
        if self.cannot:
            raise OSError(self.cannot)
        self.config = ready.config
        self.steps.append("adopt")


@attrs.define(eq=False)
class FakeDrain:
    settings: Shutdown
    hurries: int = 0

    def hurry(self) -> None:
        self.hurries += 1

    async def run(self) -> None:
        await trio.lowlevel.checkpoint()


@attrs.define(eq=False)
class Started:
    proxy: FakeProxy
    supervisor: Channel
    digest: str
    drains: list[FakeDrain]
    adopted: list[Config]
    ended: trio.Event

    async def prepare(self, number: int = 1, digest: str = "", text: str = TEXT) -> None:
        await self.supervisor.ask("prepare", number=number, text=text, digest=digest or self.digest)

    async def serve(self) -> None:
        await self.prepare()
        await self.supervisor.ask("adopt", number=1)
        await self.supervisor.ask("let_in")

    async def until_ended(self) -> FakeDrain:
        with trio.fail_after(30):
            await self.ended.wait()
        (drain,) = self.drains
        return drain


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    file = tmp_path / "guardian.yaml"
    file.write_text(TEXT)

    @asynccontextmanager
    async def started() -> AsyncIterator[Started]:
        supervisor, line = channel_pair()
        channel = Channel(line)
        drains: list[FakeDrain] = []
        adopted: list[Config] = []

        def drain(_proxy: object, settings: Shutdown) -> FakeDrain:
            drains.append(FakeDrain(settings))
            return drains[-1]

        monkeypatch.setattr(worker_module, "Drain", drain)
        proxy = FakeProxy()
        handed = Handing(number=3, count=4, file=file, line=cast(socket.socket, line), board=-1)
        worker = Worker(handed, channel, cast(Proxy, proxy), adopted.append)
        ended = trio.Event()

        async def live() -> None:
            await worker.run()
            ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.run)
            nursery.start_soon(channel.run)
            nursery.start_soon(live)
            yield Started(proxy, supervisor, load(file).digest, drains, adopted, ended)
            nursery.cancel_scope.cancel()

    return started


async def test_it_takes_its_part_of_the_orders_and_lets_nobody_in_before_it_is_told(start: Any) -> None:
    async with start() as it:
        assert it.proxy.steps == ["hold back"]
        await it.prepare()
        assert await it.supervisor.ask("adopt", number=1) == it.proxy.addresses
        assert it.proxy.steps == ["hold back", "adopt", "withdraw"]
        assert [device.connections for device in it.adopted[0].groups[0].devices] == [2]
        assert it.proxy.state is ProxyState.STARTING
        await it.supervisor.ask("let_in")
        assert it.proxy.steps[-1] == "let in"
        assert it.proxy.state is ProxyState.SERVING


async def test_who_reads_another_catalogue_than_the_others_says_no(start: Any) -> None:
    async with start() as it:
        with pytest.raises(Refused, match="catalogue"):
            await it.prepare(digest="of another one")
        with pytest.raises(Refused):
            await it.supervisor.ask("adopt", number=1)
        assert it.adopted == []


async def test_who_cannot_adopt_says_why_and_keeps_nothing_of_it(start: Any) -> None:
    async with start() as it:
        await it.prepare()
        it.proxy.cannot = "no more descriptors"
        with pytest.raises(Refused, match="no more descriptors"):
            await it.supervisor.ask("adopt", number=1)
        assert it.proxy.steps[-1] == "withdraw"
        assert it.adopted == []


async def test_orders_that_are_not_to_be_cannot_be_adopted_later(start: Any) -> None:
    async with start() as it:
        await it.prepare()
        it.supervisor.tell("forget")
        with pytest.raises(Refused):
            await it.supervisor.ask("adopt", number=1)
        assert it.proxy.steps == ["hold back", "withdraw"], "what was offered for it is closed"
        assert it.adopted == []


async def test_a_drain_is_with_notice_and_one_without_a_supervisor_is_not(start: Any) -> None:
    async with start() as it:
        await it.serve()
        it.supervisor.tell("drain")
        drain = await it.until_ended()
        assert drain.settings == Shutdown(drain_notice=7.0, spread=3.0, timeout=5.0)
    async with start() as it:
        await it.serve()
        it.supervisor.close()
        drain = await it.until_ended()
        assert drain.settings == Shutdown(drain_notice=0.0, spread=3.0, timeout=5.0)


async def test_who_is_told_to_hurry_in_the_same_breath_hurries(start: Any) -> None:
    async with start() as it:
        await it.serve()
        it.supervisor.tell("drain")
        it.supervisor.tell("hurry")
        assert (await it.until_ended()).hurries == 1


async def test_who_is_stopping_takes_no_new_orders(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload that comes with the end: the others must not adopt what one will never run on."""
    monkeypatch.setattr(FakeDrain, "run", lambda _: trio.sleep_forever())
    async with start() as it:
        await it.serve()
        it.supervisor.tell("drain")
        with pytest.raises(Refused, match="stopping"):
            await it.prepare(2)


async def test_who_is_told_to_stop_before_it_serves_lets_nobody_in(start: Any) -> None:
    async with start() as it:
        await it.prepare()
        await it.supervisor.ask("adopt", number=1)
        it.supervisor.tell("drain")
        await it.supervisor.ask("let_in")
        assert "let in" not in it.proxy.steps
        assert it.proxy.state is ProxyState.STARTING
        with trio.fail_after(30):
            await it.ended.wait()
        assert it.drains == [], "nobody was let in"
