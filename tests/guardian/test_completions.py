"""Several watchers share one pointer of a group, which is None while nobody watches."""

from __future__ import annotations

import structlog

from balancer.exchange import Exchange
from balancer.group import Group
from guardian.completions import Completions
from guardian.lessons import Lessons
from tests.guardian.test_client import Talk, ask, told

Seen = list[tuple[str, bytes]]


def noting(seen: Seen) -> object:
    def observe(group: str, _client: object, exchange: Exchange) -> None:
        seen.append((group, exchange.code))

    return observe


def said(talk: Talk, number: int) -> None:
    talk.say(ask(number))
    talk.answer(ask(number))


def test_each_watcher_is_told_until_it_ends() -> None:
    talk = Talk()
    completions = Completions(lambda: {"payments": talk.group.group})
    first: Seen = []
    second: Seen = []
    assert talk.group.group.observer is None
    end_first = completions.watch(noting(first))  # type: ignore[arg-type]
    said(talk, 1)
    end_second = completions.watch(noting(second), "payments")  # type: ignore[arg-type]
    said(talk, 2)
    end_first()
    end_first()
    said(talk, 3)
    end_second()
    assert talk.group.group.observer is None
    said(talk, 4)
    assert (first, second) == ([("payments", b"ECHO")] * 2, [("payments", b"ECHO")] * 2)
    assert talk.heard == b"".join(told(number) for number in range(1, 5))


def test_groups_that_come_and_go_are_covered() -> None:
    old, new = Talk(), Talk()
    groups: dict[str, Group] = {"old": old.group.group}
    completions = Completions(lambda: groups)
    seen: Seen = []
    only_old: Seen = []
    completions.watch(noting(seen))  # type: ignore[arg-type]
    completions.watch(noting(only_old), "old")  # type: ignore[arg-type]
    groups["new"] = new.group.group
    completions.regroup()
    said(new, 1)
    said(old, 1)
    assert (seen, only_old) == ([("new", b"ECHO"), ("old", b"ECHO")], [("old", b"ECHO")])
    del groups["old"]
    completions.regroup()
    assert old.group.group.observer is None
    assert new.group.group.observer is not None


def test_a_watcher_that_fails_is_told_no_more_and_hurts_nobody() -> None:
    talk = Talk()
    completions = Completions(lambda: {"payments": talk.group.group})
    seen: Seen = []
    calls = 0

    def broken(*_: object) -> None:
        nonlocal calls
        calls += 1
        raise ValueError("Canary")

    completions.watch(broken)
    completions.watch(noting(seen))  # type: ignore[arg-type]
    with structlog.testing.capture_logs() as logs:
        said(talk, 1)
        said(talk, 2)
    assert (calls, len(seen), talk.owner.faults) == (1, 2, [])
    assert talk.heard == told(1) + told(2)
    assert [log["fault"] for log in logs] == ["ValueError"]
    assert "Canary" not in str(logs)


def test_learning_and_another_watcher_go_together() -> None:
    talk = Talk()

    def groups() -> dict[str, Group]:
        return {"payments": talk.group.group}

    completions = Completions(groups)
    lessons = Lessons(lambda: talk.group.now, groups, completions)
    seen: Seen = []
    completions.watch(noting(seen))  # type: ignore[arg-type]
    lessons.start(None, 60)
    said(talk, 1)
    lessons.stop()
    said(talk, 2)
    assert (lessons.facts["requests"], len(seen)) == (1, 2)


def test_an_exchange_knows_whose_answer_counts() -> None:
    talk = Talk()
    devices: list[str | None] = []

    def observe(_group: str, _client: object, exchange: Exchange) -> None:
        devices.append(exchange.device.name if exchange.device else None)

    Completions(lambda: {"payments": talk.group.group}).watch(observe)
    said(talk, 1)
    talk.say(b"[AOGPKD;]")  # blocked
    assert devices == ["a", None]
