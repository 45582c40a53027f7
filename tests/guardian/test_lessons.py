"""Who watches and until when: one at a time, by itself to its end, and never at a client's cost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import structlog
import trio
import trio.testing

from balancer.transport.peers import Peer
from config.model import Role
from guardian.learning import Who
from guardian.lesson import LessonRunning, LessonState
from guardian.lessons import Lessons
from tests.guardian.test_client import ONE, Talk, ask, told
from tests.guardian.test_learning import texts
from tests.support.core import device_settings

PAYMENTS = "payments"


def lessons_of(talk: Talk) -> Lessons:
    return Lessons(lambda: talk.group.now, lambda: {PAYMENTS: talk.group.group})


def said(talk: Talk, request: bytes) -> bytes:
    talk.say(request)
    talk.answer(request)
    return talk.heard


def learned(lessons: Lessons) -> dict[str, dict[str, object]]:
    return json.loads(json.dumps(lessons.reporter()()))  # type: ignore[no-any-return]


def codes(lessons: Lessons) -> dict[str, int]:
    [client] = learned(lessons)[PAYMENTS]["clients"]  # type: ignore[misc]
    return {code["code"]: code["requests"] for code in client["codes"]}  # type: ignore[index]


@asynccontextmanager
async def running(lessons: Lessons) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lessons.run)
        yield
        nursery.cancel_scope.cancel()


def test_nobody_is_told_while_nobody_learns() -> None:
    talk = Talk()
    lessons = lessons_of(talk)
    assert talk.group.group.observer is None
    said(talk, ask(1))
    lessons.start(None, 60)
    assert said(talk, ask(2)) == told(1) + told(2)
    lessons.stop()
    assert talk.group.group.observer is None
    said(talk, ask(3))
    assert (lessons.facts["requests"], codes(lessons)) == (1, {"ECHO": 1})


def test_refusals_of_the_proxys_own_are_seen_too() -> None:
    talk = Talk()
    lessons = lessons_of(talk)
    lessons.start(PAYMENTS, 60)
    talk.say(b"[AOGPKD;]")
    talk.say(b"[nothing]")
    lessons.stop()
    [client] = learned(lessons)[PAYMENTS]["clients"]  # type: ignore[misc]
    assert client["codes"][0]["outcomes"] == {"blocked": 1}  # type: ignore[index]
    assert client["malformed"] == 1  # type: ignore[index]


def test_only_connections_that_begin_meanwhile_are_from_their_start() -> None:
    talk = Talk()
    lessons = lessons_of(talk)
    talk.group.now += 1
    lessons.start(None, 60)
    said(talk, ask(1))
    talk.client, talk.link = talk.connect()
    said(talk, ask(2))
    lessons.stop()
    [client] = learned(lessons)[PAYMENTS]["clients"]  # type: ignore[misc]
    assert (client["connections"], client["from_start"]) == (2, 1)  # type: ignore[index]
    assert client["codes"][0]["first"] == 1  # type: ignore[index]


def test_a_client_is_known_by_its_certificate() -> None:
    talk = Talk()
    talk.client.peer = Peer(
        common_name="vault-1", sans=(), fingerprint="sha256:" + "ab" * 32, serial=1, not_after=0, expires=0,
        root=None, certificate=None, trust=None,  # type: ignore[arg-type]
    )  # fmt: skip
    lessons = lessons_of(talk)
    lessons.start(None, 60)
    said(talk, ask(1))
    lessons.stop()
    [client] = learned(lessons)[PAYMENTS]["clients"]  # type: ignore[misc]
    assert client["name"] == "vault-1 (abababababababab)"  # type: ignore[index]


def test_one_at_a_time() -> None:
    talk = Talk()
    lessons = lessons_of(talk)
    lessons.start(None, 60)
    with pytest.raises(LessonRunning, match="60 s more"):
        lessons.start(None, 5)
    lessons.stop()
    lessons.stop()
    lessons.start(None, 5)
    assert (lessons.facts["state"], lessons.facts["number"], lessons.facts["for"]) == ("watching", 2, 5)


def test_a_group_that_is_not_there() -> None:
    lessons = lessons_of(Talk())
    with pytest.raises(LookupError, match="there is no group spare"):
        lessons.start("spare", 60)
    assert lessons.facts["state"] == "none"


async def test_it_ends_by_itself(autojump_clock: trio.testing.MockClock) -> None:
    talk = Talk()
    lessons = Lessons(trio.current_time, lambda: {PAYMENTS: talk.group.group})
    async with running(lessons):
        lessons.start(None, 600)
        await trio.sleep(599)
        assert lessons.facts["state"] == "watching"
        assert talk.group.group.observer is not None
        await trio.sleep(2)
        assert (lessons.facts["state"], lessons.facts["left"]) == ("done", 0)
        assert talk.group.group.observer is None


async def test_connections_with_several_requests_are_noticed(autojump_clock: trio.testing.MockClock) -> None:
    talk = Talk(attrs.evolve(ONE, connections=1, pipeline=4), connections=1)
    lessons = Lessons(trio.current_time, lambda: {PAYMENTS: talk.group.group})
    async with running(lessons):
        lessons.start(None, 2)
        for number in range(3):
            talk.say(ask(number))
        await trio.sleep(5)
    seen = learned(lessons)[PAYMENTS]["pipeline"]
    assert isinstance(seen, dict)
    assert (seen["allowed"], seen["most"], seen["misfits"]) == (4, 3, 0)
    assert 10 <= seen["several"] == seen["looks"] <= 40


async def test_requests_that_could_be_confused_prove_nothing(autojump_clock: trio.testing.MockClock) -> None:
    talk = Talk(attrs.evolve(ONE, connections=1, pipeline=4), connections=1)
    lessons = Lessons(trio.current_time, lambda: {PAYMENTS: talk.group.group})
    async with running(lessons):
        lessons.start(None, 2)
        talk.say(b"[AOECHO;]")
        talk.say(b"[AOECHO;]")
        await trio.sleep(5)
    seen = learned(lessons)[PAYMENTS]["pipeline"]
    assert isinstance(seen, dict)
    assert (seen["several"], seen["most"]) == (0, 0)


def test_a_fault_ends_the_lesson_and_not_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk()
    lessons = lessons_of(talk)

    def broken(*_: object) -> None:
        raise KeyError("Canary")

    monkeypatch.setattr("guardian.learning.Learning.feed", broken)
    with structlog.testing.capture_logs() as logs:
        lessons.start(None, 60)
        assert said(talk, ask(1)) == told(1)
        assert said(talk, ask(2)) == told(1) + told(2)
    assert lessons.facts["state"] == LessonState.FAILED.value
    assert talk.group.group.observer is None
    assert talk.owner.faults == []
    assert [log["fault"] for log in logs if log["log_level"] == "error"] == ["KeyError"]
    assert "Canary" not in str(logs)


async def test_a_fault_of_a_look_ends_the_lesson_and_not_the_proxy(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    talk = Talk()
    lessons = Lessons(trio.current_time, lambda: {PAYMENTS: talk.group.group})

    def broken(_: object) -> None:
        raise ValueError("Canary")

    monkeypatch.setattr("guardian.lessons._misfits", lambda _: 0)
    async with running(lessons):
        lessons.start(None, 60)
        monkeypatch.setattr("guardian.lessons._misfits", broken)
        with structlog.testing.capture_logs() as logs:
            await trio.sleep(1)
        assert lessons.facts["state"] == "failed"
        monkeypatch.setattr("guardian.lessons._misfits", lambda _: 0)
        lessons.start(None, 1)
        await trio.sleep(2)
        assert lessons.facts["state"] == "done"
    assert "Canary" not in str(logs)


def test_it_keeps_neither_clients_nor_what_they_said() -> None:
    talk = Talk(device_settings("a", role=Role.PRIMARY))
    lessons = lessons_of(talk)
    lessons.start(None, 60)
    said(talk, b"[AOECHO;AGCanaryOne;]")
    said(talk, b"[AORSAS;RFCanaryTwo;]")
    talk.say(b"[AOECHO;AGCanaryThree")  # not whole yet: it stays in the client
    [watched] = lessons._watched
    kept = texts(watched.learning)
    assert "Canary" not in kept
    assert "ECHO" in kept
    assert watched.learning.clients.keys() == {Who(None, None, None)}
    assert "Canary" not in json.dumps(learned(lessons))
