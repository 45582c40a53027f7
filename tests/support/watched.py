"""A proxy with an admin port in a thread of its own, for tests that sit in front of a browser."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import attrs
import trio

from config.model import Admin, Bind
from guardian.admin.server import serve_admin
from guardian.operable import Operable

from .admin_port import ANY_PORT

T = TypeVar("T")


@attrs.define(eq=False)
class Watched:
    """What a test does from its own thread; everything of the proxy's runs on its loop."""

    proxy: Operable
    nursery: trio.Nursery
    token: trio.lowlevel.TrioToken
    admin: Admin
    bound: Bind = attrs.field(init=False)
    _serving: trio.CancelScope = attrs.field(init=False)
    _ended: trio.Event = attrs.field(init=False)

    @property
    def url(self) -> str:
        return f"http://{self.bound}/"

    def call(self, function: Callable[..., T], *given: object) -> T:
        return trio.from_thread.run_sync(function, *given, trio_token=self.token)

    def run(self, function: Callable[..., Awaitable[T]], *given: object) -> T:
        return trio.from_thread.run(function, *given, trio_token=self.token)

    async def serve(self) -> None:
        """Start the admin port, on the port that it had before."""
        self._serving, self._ended = trio.CancelScope(), trio.Event()
        self.bound = await self.nursery.start(self._serve)
        self.admin = attrs.evolve(self.admin, bind=self.bound)

    async def _serve(self, *, task_status: trio.TaskStatus[Bind]) -> None:
        try:
            with self._serving:
                await serve_admin(self.admin, self.proxy, task_status=task_status)
        finally:
            self._ended.set()

    async def end(self) -> None:
        """The admin port is gone, with every connection."""
        self._serving.cancel()
        await self._ended.wait()


Start = Callable[[trio.Nursery], Awaitable[Operable]]


@contextmanager
def watched(start: Start, admin: Admin | None = None) -> Iterator[Watched]:
    """``start`` gives the proxy; what it needs it starts in the nursery."""
    ready = threading.Event()
    made: list[Watched] = []
    failed: list[BaseException] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            proxy = await start(nursery)
            found = Watched(proxy, nursery, trio.lowlevel.current_trio_token(), admin or Admin(bind=ANY_PORT))
            await found.serve()
            made.append(found)
            ready.set()
            await trio.sleep_forever()

    def thread() -> None:
        try:
            trio.run(main)
        except BaseException as exc:  # noqa: BLE001 - handed to the test
            failed.append(exc)
        finally:
            ready.set()

    running = threading.Thread(target=thread, name="watched")
    running.start()
    try:
        assert ready.wait(60), "the proxy did not start"
        if not made:
            raise failed[0]
        yield made[0]
    finally:
        if made:
            made[0].call(made[0].nursery.cancel_scope.cancel)
        running.join(30)
    if failed:
        raise failed[0]
