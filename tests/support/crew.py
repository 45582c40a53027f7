"""Several real proxies in this process, each as a worker is one, and the whole that a supervisor makes of them."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from balancer.snapshot import ProxyState
from config.catalogue import load_catalogue
from config.loader import load
from guardian.proxy import Proxy
from guardian.ready import make_ready
from guardian.workers.board import Board, Place, make_board
from guardian.workers.channel import Channel
from guardian.workers.seen import Seen
from guardian.workers.whole import Whole
from tests.support.estate import Estate, apply
from tests.support.excrypt_client import ExcryptClient


@attrs.define(eq=False)
class Worker:
    proxy: Proxy
    seen: Seen
    scope: trio.CancelScope
    channel: Channel  # the supervisor's end


@attrs.define(eq=False)
class Crew:
    """``estate``: the devices and the configuration; its own proxy is none of the workers."""

    estate: Estate
    whole: Whole
    nursery: trio.Nursery
    board: int  # a descriptor
    workers: dict[int, Worker] = attrs.field(factory=dict)

    async def start(self, number: int) -> Worker:
        """As a supervisor does."""
        ours, theirs = (Channel(end) for end in socket.socketpair())
        board = Board(os.dup(self.board))
        proxy = Proxy(place=Place(board, number))
        scope = trio.CancelScope()
        seen = Seen(proxy, theirs, number)
        self.whole.introduce(number, ours)

        async def live() -> None:
            with scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(proxy.run)
                    nursery.start_soon(theirs.run)
                    nursery.start_soon(seen.run)
            board.clear(number)

        async def hear() -> None:
            await ours.run()
            self.whole.farewell(number)

        self.nursery.start_soon(hear)
        self.nursery.start_soon(live)
        await trio.testing.wait_all_tasks_blocked()
        apply(proxy, self.estate.config)
        proxy.state = ProxyState.SERVING
        worker = self.workers[number] = Worker(proxy, seen, scope, ours)
        await self.whole.welcome(number, ours, os.getpid())
        return worker

    async def kill(self, number: int) -> None:
        worker = self.workers.pop(number)
        worker.scope.cancel()
        await worker.channel.ended.wait()
        await trio.testing.wait_all_tasks_blocked()

    async def client(self, number: int, name: str = "vault-1") -> ExcryptClient:
        """A client of that worker."""
        host, _, port = self.workers[number].proxy.intake.addresses["excrypt"].rpartition(":")
        client = await ExcryptClient.connect((host, int(port)), self.estate.tls(name))
        self.estate.clients.append(client)
        return client

    async def until_all_serve(self) -> None:
        with trio.fail_after(30):
            for worker in self.workers.values():
                while any(not device.in_service for device in worker.proxy.snapshot().groups[0].devices):
                    await trio.sleep(0.01)


@asynccontextmanager
async def crew(estate: Estate, count: int = 2) -> AsyncIterator[Crew]:
    """All serve when it begins; everything ends with the block."""
    async with trio.open_nursery() as nursery:
        whole = Whole(count)
        loaded = load(estate.config, read_files=True)
        assert loaded.config is not None
        whole.adopt(make_ready(loaded.config, load_catalogue(loaded.config.catalogue)[0]))
        whole.state = ProxyState.SERVING
        nursery.start_soon(whole.run)
        made = Crew(estate, whole, nursery, make_board(count))
        for number in range(1, count + 1):
            await made.start(number)
        await made.until_all_serve()
        try:
            yield made
        finally:
            nursery.cancel_scope.cancel()
            os.close(made.board)
