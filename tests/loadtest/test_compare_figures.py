from __future__ import annotations

import json

import attrs
import pytest

from loadtest.compare.figures import Bottleneck, CpuUse, Measurement, Spread, ratios, summarise
from loadtest.compare.report import as_json, render
from tests.support.measured import IDLE, RUN

FULL = CpuUse(used=3.9, wanted=3.95)


def a_run(contender: str, turn: int, cpu: float, *, requests: int = 100_000, clients: int = 8) -> Measurement:
    return attrs.evolve(
        RUN, contender=contender, round=turn, requests=requests, clients=clients, proxy=CpuUse(used=cpu, wanted=cpu)
    )


def test_cost_is_cpu_over_requests_in_microseconds() -> None:
    assert RUN.cost == pytest.approx(30.0)
    assert RUN.rate == pytest.approx(25_000)


@pytest.mark.parametrize("run", [attrs.evolve(RUN, proxy=None), attrs.evolve(RUN, requests=0)])
def test_there_is_no_cost_without_a_proxy_or_an_answer(run: Measurement) -> None:
    assert run.cost is None


def test_a_ratio_compares_runs_of_the_same_round_only() -> None:
    reference = [a_run("haproxy", 1, 2.0), a_run("haproxy", 2, 4.0)]
    ours = [a_run("ours", 1, 3.0), a_run("ours", 2, 4.0), a_run("ours", 3, 99.0)]
    assert ratios(ours, reference) == pytest.approx([1.5, 1.0])


def test_rounds_in_which_one_answered_nothing_give_no_ratio() -> None:
    assert ratios([a_run("ours", 1, 3.0)], [a_run("haproxy", 1, 2.0, requests=0)]) == []
    assert ratios([a_run("ours", 1, 3.0, requests=0)], [a_run("haproxy", 1, 2.0)]) == []


def test_a_summary_has_a_row_for_each_contender_at_each_number_of_clients() -> None:
    runs = [
        a_run(contender, turn, cpu, clients=clients)
        for clients in (64, 8)
        for turn in (1, 2, 3)
        for contender, cpu in (("haproxy", 2.0 + turn), ("ours", 2.0 * (2.0 + turn)))
    ]
    rows = summarise(runs, reference="haproxy", cores=2)
    assert [(row.clients, row.contender) for row in rows] == [
        (8, "haproxy"),
        (8, "ours"),
        (64, "haproxy"),
        (64, "ours"),
    ]
    assert rows[1].ratio == Spread(2.0, 2.0, 2.0)
    assert rows[0].cost is not None
    assert attrs.astuple(rows[0].cost) == pytest.approx((40.0, 30.0, 50.0))


def test_without_the_reference_there_are_costs_and_no_ratios() -> None:
    (row,) = summarise([a_run("ours", 1, 3.0)], reference="haproxy", cores=2)
    assert row.cost is not None
    assert row.ratio is None


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (RUN, Bottleneck.CLIENTS),
        (attrs.evolve(RUN, proxy=FULL, generator=FULL), Bottleneck.PROXY),
        (attrs.evolve(RUN, generator=FULL), Bottleneck.GENERATOR),
        (attrs.evolve(RUN, devices=[IDLE, FULL, IDLE]), Bottleneck.DEVICE),
        (attrs.evolve(RUN, others=4.0), Bottleneck.MACHINE),
        (attrs.evolve(RUN, proxy=None, generator=FULL), Bottleneck.GENERATOR),
        # It ran for half of the time only, and was waiting for a core in the other half.
        (attrs.evolve(RUN, proxy=CpuUse(used=2.0, wanted=4.0)), Bottleneck.PROXY),
    ],
)
def test_who_always_had_work_to_do_is_the_bottleneck(run: Measurement, expected: Bottleneck) -> None:
    assert run.bottleneck(cores=2) is expected


def test_the_report_says_what_would_mislead() -> None:
    runs = [
        attrs.evolve(RUN, wrong=1),
        attrs.evolve(a_run("slow load", 1, 1.0), generator=FULL),
        attrs.evolve(a_run("slow device", 1, 1.0), devices=[FULL]),
        attrs.evolve(a_run("company", 1, 1.0), others=2.0),
    ]
    text = render(summarise(runs, reference="haproxy", cores=2), {"cores": 2})
    assert "haproxy, 8 clients: some answers were wrong" in text
    assert "slow load, 8 clients: the load generator was the bottleneck" in text
    assert "slow device, 8 clients: a device was the bottleneck" in text
    assert "company, 8 clients: other programs used 0.50 cores" in text


def test_the_table_has_no_ratio_for_who_is_no_proxy() -> None:
    runs = [attrs.evolve(RUN, contender="direct", proxy=None), RUN]
    lines = render(summarise(runs, reference="haproxy", cores=2), {}).splitlines()
    (direct,) = [line.split() for line in lines if line.startswith("direct")]
    (haproxy,) = [line for line in lines if line.startswith("haproxy")]
    assert direct[1:3] == ["-", "-"]
    assert "30.0 (30.0-30.0)  1.00 (1.00-1.00)" in haproxy


def test_the_file_holds_every_run_and_every_row() -> None:
    runs = [a_run("haproxy", 1, 2.0), a_run("ours", 1, 3.0)]
    told = json.loads(as_json(summarise(runs, reference="haproxy", cores=2), runs, {"cores": 2}, {"rounds": 1}))
    assert [run["cost"] for run in told["runs"]] == pytest.approx([20.0, 30.0])
    assert told["rows"][1]["ratio"]["median"] == pytest.approx(1.5)
    assert told["rows"][1]["bottlenecks"] == ["clients"]
    assert told["machine"] == {"cores": 2}
