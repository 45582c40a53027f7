"""The watchdog is fed while everything moves, and not fed when one accept loop or the reactor is stuck."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from guardian import listener as listener_module
from guardian.notify import Notifier
from guardian.pki import make_pki
from guardian.wellbeing import Wellbeing
from loadtest.simhsm.device import SimulatedDevice
from tests.support.estate import Estate, device_tls, estate


class Manager(Notifier):
    """Counts what it is told."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.fed = 0
        self.lines: list[str] = []

    def alive(self) -> None:
        self.fed += 1

    def status(self, text: str) -> None:
        self.lines.append(text)

    async def is_fed(self) -> None:
        before = self.fed
        with trio.fail_after(30):
            while self.fed < before + 3:
                await trio.sleep(0.01)

    async def is_not_fed(self) -> None:
        """No more, after what may have been under way."""
        with trio.fail_after(30):
            while True:
                before = self.fed
                await trio.sleep(0.5)
                if self.fed == before:
                    return


WATCHED = 0.04 / 3  # seconds


@pytest.fixture
async def world(tmp_path: Path):  # type: ignore[no-untyped-def]
    pki = make_pki(
        tmp_path / "pki", algorithm="ecdsa", clients=("vault-1",), devices={"hsm1": ("127.0.0.1",)}, crl=False, days=30
    )
    async with estate(pki, tmp_path, {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}) as started:
        yield started


async def test_it_is_fed_while_clients_come_and_go(world: Estate, nursery: trio.Nursery) -> None:
    manager = Manager()
    nursery.start_soon(Wellbeing(world.proxy, manager, WATCHED).run)
    await manager.is_fed()
    client = await world.client()
    assert await client.request(b"[AOECHO;AGx;]") == b"[AOECHO;AGx;]"
    await manager.is_fed()
    assert manager.lines[-1] == "serving payments: 1 of 1 devices in service"


async def test_an_accept_loop_that_hangs_stops_it(
    world: Estate, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Manager()
    nursery.start_soon(Wellbeing(world.proxy, manager, WATCHED).run)
    await manager.is_fed()
    monkeypatch.setattr(listener_module, "_PAUSE_WHEN_SHORT", float("inf"))
    monkeypatch.setattr(listener_module.Listener, "_accept", lambda *_: False)
    with trio.socket.socket() as sock:
        await sock.connect(world.address)
        await manager.is_not_fed()


async def test_an_accept_loop_that_is_never_woken_stops_it(
    world: Estate, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that it waits, and somebody has come."""
    manager = Manager()
    nursery.start_soon(Wellbeing(world.proxy, manager, WATCHED).run)
    await manager.is_fed()
    listener = world.proxy.intake.listeners[0]
    real = trio.lowlevel.wait_readable

    async def deaf(sock: object) -> None:
        await (trio.sleep_forever() if sock is listener.socket else real(sock))  # type: ignore[arg-type]

    monkeypatch.setattr(trio.lowlevel, "wait_readable", deaf)
    (await world.client()).close()  # the loop goes round once more, and then no more
    with trio.socket.socket() as sock:
        await sock.connect(world.address)
        await manager.is_not_fed()


async def test_a_reactor_that_hangs_stops_it(world: Estate, nursery: trio.Nursery) -> None:
    manager = Manager()
    nursery.start_soon(Wellbeing(world.proxy, manager, WATCHED).run)
    await manager.is_fed()
    world.proxy.reactor.run_batch = lambda *_: 0
    await manager.is_not_fed()


async def test_one_bad_look_is_a_busy_moment(
    world: Estate, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def every_other(*_: object) -> bool:
        nonlocal looks
        looks += 1
        return looks % 2 == 0

    monkeypatch.setattr(Wellbeing, "_hangs", every_other)
    manager = Manager()
    nursery.start_soon(Wellbeing(world.proxy, manager, WATCHED).run)
    with trio.fail_after(30):
        while looks < 10:
            await trio.sleep(0.01)
    assert manager.fed >= 7


async def test_who_has_no_watchdog_is_told_the_status_only(world: Estate, nursery: trio.Nursery) -> None:
    manager = Manager()
    nursery.start_soon(Wellbeing(world.proxy, manager, None).run)
    with trio.fail_after(30):
        while not manager.lines:
            await trio.sleep(0.01)
    assert manager.fed == 0
