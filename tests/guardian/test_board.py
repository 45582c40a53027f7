"""What `guardian top` shows, and what its keys do, without a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from balancer.snapshot import Will
from config.model import Role
from guardian.admin.status import status
from guardian.commands.board import SORTS, body, parts, rates_between
from guardian.commands.top import _Screen
from tests.support import operable


def found(*devices: Any, groups: tuple[str, ...] = ("payments",)) -> dict[str, Any]:
    return status(operable.proxy(*(operable.group(name, *devices) for name in groups)), "1")  # type: ignore[return-value]


def asked(count: int) -> dict[str, int]:
    return {"ok": count}


def text(lines: list[list[tuple[str, str]]]) -> list[str]:
    return ["".join(piece for piece, _ in line).rstrip() for line in lines]


TWO = (
    operable.device("a", outcomes=asked(100), outstanding=1),
    operable.device("b", outcomes=asked(50), outstanding=9),
)


def test_rates_are_requests_between_two_looks_and_never_negative() -> None:
    later = found(
        operable.device("a", outcomes=asked(400)), operable.device("b", outcomes=asked(10)), operable.device("c")
    )
    rates = rates_between(found(*TWO), later, 2.0)
    assert rates == {("payments", "a"): 150.0, ("payments", "b"): 0.0, ("payments", "c"): 0.0}


def test_groups_rates_and_shares() -> None:
    rates = {("payments", "a"): 300.0, ("payments", "b"): 100.0}
    [part] = parts(found(*TWO), rates)
    assert part.summary == "2/2 in service   400 req/s   10 outstanding   2 queued"
    assert [row.cells[4:6] for row in part.rows] == [("300", "75%"), ("100", "25%")]
    assert [row.cells[8] for row in part.rows] == ["1/32", "9/32"]


@pytest.mark.parametrize(("sort", "order"), [("configured", "ab"), ("rate", "ab"), ("outstanding", "ba")])
def test_sorting(sort: str, order: str) -> None:
    [part] = parts(found(*TWO), {("payments", "a"): 2.0, ("payments", "b"): 1.0}, sort)
    assert "".join(row.key[1] for row in part.rows) == order


def test_what_is_left_of_a_drain_is_said() -> None:
    drained = {"will": Will.DRAIN, "in_service": False, "reason": "drained by the operator"}
    [part] = parts(
        found(operable.device("a", **drained), operable.device("b", outstanding=0, connections={"idle": 1}, **drained)),
        {},
    )
    assert [row.cells[-1] for row in part.rows] == [
        "there are still 3 outstanding and 1 on connections of pinned clients", "drained",
    ]  # fmt: skip


def test_a_window_of_many_devices_holds_the_selected_one() -> None:
    many = tuple(operable.device(f"hsm{number}") for number in range(500))
    lines = text(body(parts(found(*many), {}), ("payments", "hsm250"), 20))
    assert len(lines) == 20
    assert [line for line in lines if line.startswith("> hsm250 ")]


def press(screen: _Screen, keys: str) -> list[tuple[str, tuple[str, str]]]:
    return [done for key in keys if (done := screen.press(key)) is not None]


def screen() -> _Screen:
    return _Screen("http://127.0.0.1:1", found(*TWO, operable.device("c", role=Role.BACKUP)), at=0.0)


def test_a_will_needs_a_yes() -> None:
    shown = screen()
    assert press(shown, "dn") == []
    assert text(shown.lines(20, 0.0))[-1] == "nothing was done"
    assert press(shown, "dy") == [("drain", ("payments", "a"))]
    assert press(shown, "jmy") == [("maint", ("payments", "b"))]
    assert press(shown, "jjjry") == [("ready", ("payments", "c"))]
    assert press(shown, "kkkkkd") == []
    assert text(shown.lines(20, 0.0))[-1].startswith("drain payments/a?")
    assert press(shown, "q") == []
    assert not shown.ended, "it was an answer"
    press(shown, "q")
    assert shown.ended


def test_the_selected_device_stays_selected_however_it_is_sorted() -> None:
    shown = screen()
    press(shown, "j")
    for _ in SORTS:
        press(shown, "s")
        assert [line for line in text(shown.lines(20, 0.0)) if line.startswith("> b ")]
    shown.take(found(operable.device("a")), 1.0)
    assert [line for line in text(shown.lines(20, 1.0)) if line.startswith("> a ")], "it is gone"


def test_it_says_for_how_long_nothing_came_and_fits_the_height() -> None:
    shown = screen()
    shown.lost = "cannot reach the proxy"
    lines = text(shown.lines(9, 5.0))
    assert len(lines) == 9
    assert lines[0].endswith("no answer for 5 s: cannot reach the proxy")
    shown.take(shown.found, 6.0)
    assert "no answer" not in text(shown.lines(9, 6.0))[0]
