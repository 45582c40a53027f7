"""What two processes tell each other at an upgrade, and after it: wills, reloads, who is the service, who is silent."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from balancer.snapshot import Will
from config.loader import load
from guardian.events import Actor
from guardian.handover import Line, line_pair
from guardian.pki import make_pki
from guardian.proxy import Proxy
from guardian.reloading import Reloading
from guardian.succession import Succession
from guardian.upgrade import Following, what_holds
from loadtest.simhsm.device import SimulatedDevice
from tests.guardian.test_wellbeing import Manager
from tests.support.estate import Estate, device_tls, estate

BY = Actor(name="an operator", source="127.0.0.1")


def reloading_of(world: Estate) -> Reloading:
    return Reloading(world.config, load(world.config, read_files=True), world.proxy, lambda _: None, Manager())


@attrs.define(eq=False)
class Pair:
    """Two proxies, as if in two processes; ``line`` is the old one's end."""

    old: Estate
    new: Estate
    line: Line
    reloading: Reloading  # of the new one
    succession: Succession
    manager: Manager
    following: Following

    async def hand_over(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self.succession.become_the_service)
        await nursery.start(self.following.run)
        with trio.fail_after(30):
            while self.manager.silent:
                await trio.sleep(0.01)


@pytest.fixture
async def pair(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Pair]:
    pki = make_pki(
        tmp_path / "pki", algorithm="ecdsa", clients=("vault-1",), devices={"hsm1": ("127.0.0.1",)}, crl=False, days=30
    )
    folders = [tmp_path / "old", tmp_path / "new"]
    for folder in folders:
        folder.mkdir()
    async with (
        estate(pki, folders[0], {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}) as old,
        estate(pki, folders[1], {"hsm1": SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))}) as new,
    ):
        line, theirs = line_pair()
        theirs.setblocking(False)
        manager = Manager()
        manager.silent = True
        reloading = reloading_of(new)
        succession = Succession(new.proxy, reloading, manager, theirs)
        await line.tell(**what_holds(old.proxy), fingerprint=reloading.fingerprint)
        await nursery.start(succession.take_over)
        yield Pair(old, new, line, reloading, succession, manager, Following(old.proxy, line))
        line.close()
        theirs.close()


def will(proxy: Proxy) -> Will:
    return proxy.devices[0].devices[0].will


async def until(proxy: Proxy, wanted: Will) -> None:
    with trio.fail_after(30):
        while will(proxy) is not wanted:
            await trio.sleep(0.01)


async def test_a_will_of_the_meantime_is_handed_over_too(pair: Pair, nursery: trio.Nursery) -> None:
    pair.old.proxy.set_will("payments", "hsm1", Will.MAINT, BY)
    await pair.hand_over(nursery)
    await until(pair.new.proxy, Will.MAINT)


async def test_what_an_operator_told_the_new_one_counts(pair: Pair, nursery: trio.Nursery) -> None:
    pair.new.proxy.set_will("payments", "hsm1", Will.DRAIN, BY)
    await pair.hand_over(nursery)
    assert will(pair.new.proxy) is Will.DRAIN
    await until(pair.old.proxy, Will.DRAIN)


async def test_ready_that_is_passed_on_vouches_for_nothing(pair: Pair, nursery: trio.Nursery) -> None:
    """The operator has spoken to the new process, which tells the journal what he vouched for."""
    await pair.hand_over(nursery)
    pair.new.proxy.set_will("payments", "hsm1", Will.MAINT, BY)
    await until(pair.old.proxy, Will.MAINT)
    known = pair.old.proxy.devices[0].devices[0].likeness
    known.vouched = False
    pair.new.proxy.set_will("payments", "hsm1", Will.READY, BY)
    await until(pair.old.proxy, Will.READY)
    assert not known.vouched


async def test_reloads_are_refused_until_it_is_the_service(pair: Pair, nursery: trio.Nursery) -> None:
    refused = await pair.reloading.reload(BY)
    assert "hands over" in refused.reason
    assert (await pair.reloading.reload(BY, dry_run=True)).ok
    await pair.hand_over(nursery)
    assert (await pair.reloading.reload(BY)).ok


async def test_a_reload_that_changes_something_ends_the_old_one(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.hand_over(nursery)
    assert (await pair.reloading.reload(BY)).ok
    assert not pair.succession.outdated, "nothing has changed"
    pair.new.config.write_text(
        pair.new.config.read_text().replace("    queue:", "    functions: {block: [GPKD]}\n    queue:")
    )
    assert (await pair.reloading.reload(BY)).ok
    with trio.fail_after(30):
        await pair.following.to_end.wait()


async def test_a_renewed_certificate_is_a_change(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.hand_over(nursery)
    certificate = pair.new.pki.server.certificate
    certificate.write_bytes(certificate.read_bytes() + b"\n")
    assert (await pair.reloading.reload(BY)).ok
    with trio.fail_after(30):
        await pair.following.to_end.wait()


async def test_it_speaks_for_the_service_once(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.hand_over(nursery)
    assert pair.manager.fed == 1, "the watchdog has been waiting for whoever spoke before"
    pair.manager.silent = True  # it has handed over itself
    pair.line.close()
    with trio.fail_after(30):
        await pair.succession.ended.wait()
    assert pair.manager.silent


async def test_the_end_of_the_old_one_makes_it_the_service(pair: Pair) -> None:
    pair.line.close()
    with trio.fail_after(30):
        await pair.succession.become_the_service()
    assert not pair.manager.silent


async def test_the_old_one_drains_when_the_new_one_has_ended(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.hand_over(nursery)
    pair.succession._line._stream.socket.shutdown(socket.SHUT_RDWR)
    with trio.fail_after(30):
        await pair.following.to_end.wait()


async def test_who_is_silent_is_ended(pair: Pair, nursery: trio.Nursery, tmp_path: Path) -> None:
    """It may hold the turn of writes."""
    place = str(tmp_path / "line")
    code = (
        "import signal, socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); "
        'print(flush=True); c, _ = s.accept(); c.sendall(b\'{"yours": true}\\n{"yours": true}\\n\'); signal.pause()'
    )
    with subprocess.Popen([sys.executable, "-c", code, place], stdout=subprocess.PIPE) as hung:
        try:
            assert hung.stdout is not None
            assert await trio.to_thread.run_sync(hung.stdout.readline)
            ours = socket.socket(socket.AF_UNIX)
            ours.connect(place)
            ours.setblocking(False)
            succession = Succession(pair.new.proxy, pair.reloading, Manager(), ours, a_wait=0.02)
            await nursery.start(succession.take_over)
            with trio.fail_after(30):
                await succession.ended.wait()
            assert await trio.to_thread.run_sync(hung.wait) == -9
        finally:
            hung.kill()
