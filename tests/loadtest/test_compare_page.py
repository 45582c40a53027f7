from __future__ import annotations

import json

import attrs
import pytest

from loadtest.compare.figures import CpuUse, Spread
from loadtest.compare.page import BEGIN, END, Chapter, MarksMissingError, Report, as_json, put_into, render, show, table
from loadtest.compare.readings import Figure, Readings
from loadtest.compare.targets import Bound, Target, judge
from tests.support.measured import RUN


@pytest.fixture
def report() -> Report:
    readings = Readings()
    for turn, (ours, other) in enumerate([(30.0, 40.0), (50.0, 40.0), (36.0, 40.0)], 1):
        readings.add("cpu", "haproxy", turn, other)
        readings.add("cpu", "ours", turn, ours)
    target = Target(
        scenario="shared", title="CPU per request", figure="cpu", contender="ours", bound=Bound.AT_MOST, value=0.5
    )
    return Report(
        machine={"cores": 2},
        method="In turns.",
        chapters=[Chapter(title="Shared", note="What runs.", figures=[Figure(name="cpu", title="CPU", unit="µs")])],
        readings=readings,
        verdicts=[judge(target, readings)],
        runs=[("8 clients", attrs.evolve(RUN, requests=1000, proxy=CpuUse(used=0.5, wanted=0.5)))],
        remarks=["somebody else was there"],
    )


def cells(text: str, first: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {first} ")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_table_of_targets_has_wanted_measured_and_verdict(report: Report) -> None:
    assert cells(render(report), "CPU per request") == ["at most 0.5", "0.90 (0.75 to 1.25)", "**not met**"]


def test_each_figure_has_a_row_and_one_with_its_ratios(report: Report) -> None:
    text = render(report)
    assert cells(text, "CPU, µs") == ["40.0", "36.0 (30.0 to 50.0)"]
    assert cells(text, "... to HAProxy's") == ["1", "0.90 (0.75 to 1.25)"]


def test_the_page_says_on_what_how_and_what_was_wrong(report: Report) -> None:
    text = render(report)
    assert "* cores: 2" in text
    assert "In turns." in text
    assert "* somebody else was there" in text


def test_a_scenario_that_gave_nothing_is_said_so(report: Report) -> None:
    text = render(attrs.evolve(report, readings=Readings(), verdicts=()))
    assert "Not measured." in text


@pytest.mark.parametrize(
    ("spread", "shown"),
    [(None, "-"), (Spread(1.0, 1.0, 1.0), "1.00"), (Spread(1234.5, 1.0, 2000.0), "1,234.50 (1.00 to 2,000.00)")],
)
def test_a_spread_is_shown_where_there_is_one(spread: Spread | None, shown: str) -> None:
    assert show(spread, 2) == shown


def test_columns_of_a_table_stand_below_each_other() -> None:
    assert table([["a", "bb"], ["ccc", "d"]]) == ["| a   | bb |", "|-----|----|", "| ccc | d  |"]


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = f"# Title\n{BEGIN}\nold\n{END}\nrest\n"
    once = put_into(page, "new\n")
    assert once == f"# Title\n{BEGIN}\n\nnew\n\n{END}\nrest\n"
    assert put_into(once, "new\n") == once


@pytest.mark.parametrize("page", ["nothing", f"{BEGIN} without an end", f"{END} before {BEGIN}"])
def test_a_page_without_marks_is_left_alone(page: str) -> None:
    with pytest.raises(MarksMissingError):
        put_into(page, "new")


def test_the_file_has_every_reading_run_and_verdict(report: Report) -> None:
    told = json.loads(as_json(report))
    assert len(told["readings"]) == 6
    assert told["readings"][0] == {"figure": "cpu", "contender": "haproxy", "round": 1, "value": 40.0}
    assert told["targets"][0]["outcome"] == "not met"
    assert told["targets"][0]["measured"]["median"] == pytest.approx(0.9)
    assert told["runs"][0]["what"] == "8 clients"
    assert told["runs"][0]["cost"] == pytest.approx(500.0)
