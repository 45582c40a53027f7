"""What `guardian show clients` and `show sessions` say of a real proxy, and `guardian tail` through a reload."""

from __future__ import annotations

from pathlib import Path

import trio

from guardian.pki import PkiFiles
from guardian.tailing import Tail, Wanted
from tests.integration.test_sessions import LOGIN, logged_in, use, world_of_three
from tests.support.estate import apply


async def test_clients_and_their_sessions_by_certificate_and_nothing_of_the_login(
    pki: PkiFiles, tmp_path: Path
) -> None:
    async with world_of_three(pki, tmp_path) as world:
        first, second = await logged_in(world), await logged_in(world)
        stranger = await world.client("vault-2")
        await use(first, 6)
        await use(second, 6)
        await stranger.request(b"[AOECHO;]")
        await world.until_calm()
        clients = {(client.name, client.kind): client for client in await world.proxy.clients_now()}
        user = clients["vault-1", "session"]
        assert (user.listener, user.group, user.address, user.outstanding, user.requests) == (
            "excrypt", "payments", "127.0.0.1", 0, 7,
        )  # fmt: skip
        assert clients["vault-2", "shared"].requests == 1
        [session] = await world.proxy.sessions_now()
        assert (session.name, session.fingerprint, session.clients) == ("vault-1", user.fingerprint, 2)
        assert set(session.connections) <= {"hsm1", "hsm2", "hsm3"}
        assert sum(session.connections.values()) >= 1
        assert abs(session.since - user.since) < 60
        for secret in (b"crypto1", b"safest1", LOGIN):
            assert secret.decode() not in f"{session} {clients}"
        first.close()
        second.close()
        with trio.fail_after(30):
            while await world.proxy.sessions_now():
                await trio.sleep(0.01)


async def test_a_group_that_a_reload_adds_is_watched_too(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_three(pki, tmp_path) as world:
        completions = world.proxy.completions
        tail = Tail(Wanted(), completions.clock, lambda: 0.0, lambda: None)
        end = completions.watch(tail.observe)
        text = world.config.read_text()
        world.config.write_text(
            text.replace("name: payments", "name: issuing").replace("group: payments", "group: issuing")
        )
        apply(world.proxy, world.config)
        with trio.fail_after(20):
            client = await world.client()
            while not (await client.request(b"[AOECHO;AGx;]")).startswith(b"[AOECHO"):
                await trio.sleep(0.05)
        lines = tail.take(10_000)[0]
        assert {line.group for line in lines} == {"issuing"}
        assert (lines[-1].client, lines[-1].outcome, lines[-1].address) == ("vault-1", "ok", "127.0.0.1")
        end()
        assert all(running.group.observer is None for running in world.proxy._groups.values())
