from __future__ import annotations

import pytest

from balancer.command import OTHER, CommandTable
from balancer.exchange import Exchange
from balancer.snapshot import Outcome
from config.catalogue import Effect
from tests.support.core import BOUNDS, CATALOGUE


@pytest.fixture
def table() -> CommandTable:
    return CommandTable(CATALOGUE, BOUNDS)


@pytest.mark.parametrize("command", list(CATALOGUE), ids=lambda command: command.name)
def test_what_an_effect_means_for_the_data_path(command, table: CommandTable) -> None:  # type: ignore[no-untyped-def]
    found = table.find(command.name.encode())
    effect = command.effect
    assert (found.label, found.known, found.multipart) == (command.name, True, command.multipart)
    assert found.repeatable == (effect in (Effect.READ, Effect.DEVICE))
    assert found.own_device == (effect is Effect.DEVICE)
    assert found.private == (effect in (Effect.SESSION, Effect.PINNED))
    assert found.provable == (effect is Effect.READ)


@pytest.mark.parametrize("code", [b"ZZZZ", b"0000", b"echo", b""])
def test_what_nobody_knows_is_a_write_that_may_change_the_session(code: bytes, table: CommandTable) -> None:
    found = table.find(code)
    assert found.label == OTHER
    assert found.private
    assert not any((found.repeatable, found.own_device, found.provable, found.known))


def test_clients_cannot_make_new_series(table: CommandTable) -> None:
    for n in range(1000):
        count = table.find(b"%04d" % n).count
        count.ok += 1
        count.duration.record(0.001)
    (snapshot,) = table.snapshot()
    assert (snapshot.command, snapshot.outcomes, snapshot.duration.count) == (OTHER, {"ok": 1000}, 1000)


def test_ends_are_counted_by_outcome(table: CommandTable) -> None:
    count = table.find(b"ECHO").count
    count.ok = 2
    for number, outcome in enumerate((*set(Outcome) - {Outcome.OK}, Outcome.BUSY)):
        exchange = Exchange(b"[AOECHO;]", b"ECHO", None, table.find(b"ECHO"), None, lambda _: None, 1.0)
        exchange.finish(outcome, None)
        count.failed(exchange, f"client-{number}", number, 2.0)
    (snapshot,) = table.snapshot(1000.0)
    assert snapshot.outcomes == {outcome.value: 1 for outcome in Outcome} | {"ok": 2, "busy": 2}
    latest = snapshot.latest["busy"]  # only the last one is kept, and nothing of what it said
    assert (latest.client, latest.completion, latest.at, latest.device) == ("client-9", 9, 1002.0, "")
    assert set(snapshot.latest) == {outcome.value for outcome in Outcome} - {"ok"}


def test_a_command_that_rests_is_not_counted_anew() -> None:
    table = CommandTable(CATALOGUE, BOUNDS)
    busy, resting = table.find(b"ECHO"), table.find(b"RAND")
    for command in (busy, resting):
        command.count.ok += 1
        command.count.duration.record(0.005)
    before = {each.command: each for each in table.snapshot()}
    busy.count.others["busy"] = 1
    after = {each.command: each for each in table.snapshot()}
    assert after["RAND"] is before["RAND"]
    assert after["ECHO"].outcomes == {"ok": 1, "busy": 1}
    resting.count.duration.record(0.05)
    assert {each.command: each.duration.count for each in table.snapshot()} == {"ECHO": 1, "RAND": 2}
