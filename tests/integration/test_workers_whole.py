"""Two real proxies and what a supervisor shows of them and does to them, over real channels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from balancer.snapshot import Will
from guardian.events import Actor, Event, Kind
from guardian.lesson import LessonRunning
from guardian.pki import PkiFiles
from guardian.tailing import Line, Wanted
from guardian.workers.whole import FRESH, Whole
from health.rota import Rota
from tests.integration.test_sessions import LOGIN, world_of_three
from tests.support.crew import Crew, crew

ME = Actor(name="night shift", source="192.0.2.7")


@asynccontextmanager
async def two(pki: PkiFiles, folder: Path) -> AsyncIterator[Crew]:
    async with world_of_three(pki, folder) as world, crew(world) as made:
        yield made


def echoes(whole: Whole) -> int:
    return sum(
        count
        for group in whole.snapshot().groups
        for command in group.commands
        if command.command == "ECHO"
        for count in command.outcomes.values()
    )


async def use(made: Crew, number: int, count: int) -> None:
    client = await made.client(number)
    for each in range(count):
        assert (await client.request(b"[AOECHO;AG%d;]" % each)).startswith(b"[AOECHO")


async def fresh(whole: Whole) -> None:
    await trio.sleep(FRESH)
    await whole.refresh()


async def test_the_whole_counts_what_its_workers_do_also_when_one_ends(pki: PkiFiles, tmp_path: Path) -> None:
    async with two(pki, tmp_path) as made:
        whole = made.whole
        await use(made, 1, 7)
        await use(made, 2, 5)
        await fresh(whole)
        assert echoes(whole) == 12
        shown = whole.snapshot()
        assert sum(shown.listeners[0].connections.values()) == 2
        assert sum(device.outcomes.get("ok", 0) for device in shown.groups[0].devices) >= 12
        assert [(worker.up, worker.connections, worker.requests) for worker in shown.workers] == [
            (True, 1, 7), (True, 1, 5),
        ]  # fmt: skip
        await made.kill(2)
        shown = whole.snapshot()
        assert echoes(whole) == 12, "what it had counted is gone"
        assert sum(shown.listeners[0].connections.values()) == 1
        assert [worker.up for worker in shown.workers] == [True, False]
        await made.start(2)
        await made.until_all_serve()
        await use(made, 2, 3)
        await fresh(whole)
        assert echoes(whole) == 15
        assert [worker.restarts for worker in whole.snapshot().workers] == [0, 1]


async def test_the_last_words_of_a_worker_are_counted(pki: PkiFiles, tmp_path: Path) -> None:
    async with two(pki, tmp_path) as made:
        await fresh(made.whole)
        await use(made, 2, 4)
        await made.workers[2].seen.last_words()
        await made.kill(2)
        assert echoes(made.whole) == 4


async def test_without_any_worker_no_group_is_usable(pki: PkiFiles, tmp_path: Path) -> None:
    async with two(pki, tmp_path) as made:
        await fresh(made.whole)
        await made.kill(1)
        assert made.whole.snapshot().groups[0].usable
        await made.kill(2)
        assert not made.whole.snapshot().groups[0].usable
        assert Whole(2).snapshot().groups == ()


async def test_a_will_reaches_all_workers_and_those_that_start_later(pki: PkiFiles, tmp_path: Path) -> None:
    async with two(pki, tmp_path) as made:
        told: list[Event] = []
        made.whole.events.subscribe(told.append)
        made.whole.set_will("payments", "hsm2", Will.MAINT, ME)
        await made.whole.refresh()
        shown = {device.name: device for device in made.whole.snapshot().groups[0].devices}
        assert (shown["hsm2"].will, shown["hsm2"].in_service) == (Will.MAINT, False)
        assert [(event.what, event.who) for event in told if event.kind is Kind.WILL] == [
            ("payments/hsm2", "night shift")
        ]
        await made.kill(1)
        worker = await made.start(1)
        assert {device.will for device in worker.proxy.snapshot().groups[0].devices} == {Will.READY, Will.MAINT}
        made.whole.set_will("payments", "hsm2", Will.READY, ME)
        await made.kill(2)
        worker = await made.start(2)
        assert {device.will for device in worker.proxy.snapshot().groups[0].devices} == {Will.READY}, (
            "not what was before"
        )
        await made.until_all_serve()
        for wrong in (("payments", "hsm9"), ("issuing", "hsm1")):
            with pytest.raises(LookupError, match=r"there is no group|has no device"):
                made.whole.set_will(*wrong, Will.DRAIN, ME)


async def test_writes_are_refused_by_all_workers_and_by_those_that_start_later(pki: PkiFiles, tmp_path: Path) -> None:
    async with two(pki, tmp_path) as made:

        def refusing() -> list[bool]:
            return [group.refuses_writes for worker in made.workers.values() for group in worker.proxy.devices]

        made.whole.refuse_writes(True)
        await fresh(made.whole)
        assert refusing() == [True, True]
        await made.kill(2)
        worker = await made.start(2)
        assert refusing() == [True, True]
        worker.proxy._refuse_writes(worker.proxy.audit.refusing)  # as each reload does
        assert refusing() == [True, True]
        made.whole.refuse_writes(False)
        await fresh(made.whole)
        assert refusing() == [False, False]


async def test_events_of_workers_are_told_by_the_whole_with_the_workers_number(pki: PkiFiles, tmp_path: Path) -> None:
    async with two(pki, tmp_path) as made:
        told: list[Event] = []
        made.whole.events.subscribe(told.append)
        own = made.workers[2].proxy.events.tell(Kind.BLOCKED, "payments/GPKD", "blocked", by=ME, detail="by a rule")
        made.workers[1].proxy.events.tell(Kind.FAILOVER, "payments", "backups serve")
        with trio.fail_after(30):
            while not {Kind.BLOCKED, Kind.FAILOVER} <= {event.kind for event in told}:
                await trio.sleep(0.01)
        blocked = next(event for event in told if event.kind is Kind.BLOCKED)
        assert (blocked.who, blocked.at, blocked.detail) == ("night shift", own.at, "by a rule, worker 2")
        assert next(event for event in told if event.kind is Kind.FAILOVER).detail == "worker 1"
        assert len({event.number for event in made.whole.events.since(0)}) == len(list(made.whole.events.since(0)))


async def test_who_looks_on_sees_the_completions_of_all_and_costs_nothing_afterwards(
    pki: PkiFiles, tmp_path: Path
) -> None:
    async with two(pki, tmp_path) as made:
        woken: list[int] = []
        tail = made.whole.completions.tail(Wanted(commands=frozenset({b"ECHO"})), lambda: woken.append(1))
        await made.kill(1)
        await made.start(1)  # it learns of who looks on
        await made.until_all_serve()
        await use(made, 1, 3)
        await use(made, 2, 2)
        lines: list[Line] = []
        with trio.fail_after(30):
            while len(lines) < 5:
                lines += tail.take(100)[0]
                await trio.sleep(0.01)
        assert woken
        assert sorted(line.completion % 100 for line in lines) == [1, 1, 1, 2, 2]
        assert {line.client for line in lines} == {"vault-1"}
        tail.end()
        with trio.fail_after(30):
            while any(group.observer is not None for worker in made.workers.values() for group in worker.proxy.devices):
                await trio.sleep(0.01)


async def test_clients_and_sessions_of_all_are_listed(pki: PkiFiles, tmp_path: Path) -> None:
    async with two(pki, tmp_path) as made:
        for number in (1, 2):
            client = await made.client(number)
            assert b"ANY" in await client.request(LOGIN)
        assert [client.kind for client in await made.whole.clients_now()] == ["session", "session"]
        assert [session.clients for session in await made.whole.sessions_now()] == [1, 1]


async def test_learning_is_over_all_workers(pki: PkiFiles, tmp_path: Path) -> None:
    async with two(pki, tmp_path) as made:
        lessons = made.whole.lessons
        with pytest.raises(LookupError):
            lessons.start("issuing", 60)
        lessons.start("payments", 60)
        with pytest.raises(LessonRunning):
            lessons.start(None, 60)
        await use(made, 1, 3)
        await use(made, 2, 4)
        assert lessons.facts["state"] == "watching"
        lessons.stop()
        with trio.fail_after(30):
            while not lessons.ended:
                await trio.sleep(0.01)
        [client] = lessons.reporter()()["payments"]["clients"]  # type: ignore[index]
        assert (client["connections"], client["from_start"]) == (2, 2)
        assert [(code["code"], code["requests"], code["first"]) for code in client["codes"]] == [("ECHO", 7, 2)]
        assert (lessons.facts["state"], lessons.facts["requests"]) == ("done", 7)


async def test_wrong_passwords_are_tried_no_more_often_by_both_than_by_one(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_three(pki, tmp_path, "failures: 3") as world, crew(world) as made:
        clients = [await made.client(1), await made.client(2)]
        answers = [
            await client.request(b"[AORKLG;DAcrypto1;CHwrong;AG%d;]" % number)
            for number in range(4)
            for client in clients
        ]
        assert [b"ANN" in answer for answer in answers] == [True] * 3 + [False] * 5
        assert all(b"AM904" in answer for answer in answers[3:])
        assert sum(len(device.journal.of("RKLG")) for device in world.devices.values()) == 3


async def test_they_ping_and_compare_by_turns(pki: PkiFiles, tmp_path: Path) -> None:
    async with world_of_three(pki, tmp_path) as world, crew(world) as made:
        now = 1000.0
        for number, worker in made.workers.items():
            (group,) = worker.proxy.devices
            assert (group.likeness.rota.number, group.likeness.rota.count) == (number, 2)
            for device in group.devices:
                device.tracker.ping_answered(0.001, now)
                rota = Rota(number, 2).wait(group.settings.ping.interval, now)
                assert abs(device.tracker.until_next_ping(now) - rota) <= 0.11 * group.settings.ping.interval
