"""The simulation: the same each time, true to queueing theory, and run by the product's own code."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import attrs
import pytest
from click.testing import CliRunner

from balancer.scheduler import Scheduler
from loadtest.simulate import worker as workers
from loadtest.simulate.board import Board
from loadtest.simulate.cell import Cell, Trouble, simulate
from loadtest.simulate.command import main
from loadtest.simulate.device import Character, ModelDevice
from loadtest.simulate.plots import draw
from loadtest.simulate.policies import Name, scheduler
from loadtest.simulate.presets import DEFAULT, QUESTIONS, Axes
from loadtest.simulate.report import as_json
from loadtest.simulate.timeline import Timeline
from loadtest.simulate.workload import PAYMENTS

SHORT = Cell(policy=Name.WORK, seconds=4.0, warmup=3.0, load=0.3)


def test_time_goes_on_in_order_and_not_by_itself() -> None:
    timeline, seen = Timeline(), []
    timeline.at(2.0, seen.append, "second")
    timeline.at(1.0, lambda: timeline.after(0.5, seen.append, "first"))
    timeline.at(3.0, seen.append, "too late")
    timeline.run(3.0)
    assert (seen, timeline.now) == (["first", "second"], 3.0)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    cell = attrs.evolve(SHORT, trouble=Trouble.FLAPS, workers=2, sight=0.005, warmup=24.0, load=0.05)  # down at 25
    again = as_json([simulate(cell)])
    assert as_json([simulate(cell)]) == again
    assert as_json([simulate(attrs.evolve(cell, seed=2))]) != again


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_server_takes_as_long_as_theory_says(load: float) -> None:
    """M/D/1: the mean time is service x (1 + rho / (2 (1 - rho))); beside it are a round trip and nothing else."""
    cell = Cell(
        policy=Name.COUNT, devices=1, parallel=1, variation=0.0, mix="alike", load=load, seconds=60.0, connections=64
    )
    service = cell.kinds[0].seconds
    expected = service * (1.0 + load / (2.0 * (1.0 - load)))
    assert simulate(cell).mean - 0.0002 == pytest.approx(expected, rel=0.1)


def test_a_closed_loop_keeps_its_clients_waiting_and_no_more() -> None:
    cell = attrs.evolve(SHORT, clients=24, mix="alike")
    result = simulate(cell)
    in_flight = result.rate * (result.mean + 0.0001)  # Little's law
    assert in_flight == pytest.approx(24, rel=0.02)


def test_a_picks_worth_shows_where_a_device_is_slow() -> None:
    """As the real proxy was measured: the default is well ahead of the count, and that of turns."""
    slow = attrs.evolve(SHORT, trouble=Trouble.SLOW, load=0.7, seconds=6.0)
    p99 = {
        policy: simulate(attrs.evolve(slow, policy=policy)).quantiles["99"]
        for policy in (Name.WORK, Name.COUNT, Name.ROUND_ROBIN)
    }
    assert p99[Name.WORK] < 0.7 * p99[Name.COUNT]
    assert p99[Name.COUNT] < p99[Name.ROUND_ROBIN]


def test_a_queue_is_not_handed_to_a_slow_device() -> None:
    """64 clients, 24 connections: p99 was 35 ms while each request went to whoever had room."""
    cell = attrs.evolve(SHORT, trouble=Trouble.SLOW, clients=64, mix="alike", service=0.001, variation=0.0, seconds=0.5)
    assert simulate(cell).quantiles["99"] < 0.015


@pytest.mark.parametrize(("trouble", "until", "load"), [(Trouble.FLAPS, 26.0, 0.4), (Trouble.HANGS, 52.0, 0.05)])
def test_what_a_lost_device_had_goes_to_the_others(trouble: Trouble, until: float, load: float) -> None:
    """The product's resending, suspicion and health are at work: nothing is lost, and some requests went twice."""
    result = simulate(attrs.evolve(SHORT, trouble=trouble, seconds=until - SHORT.warmup, load=load))
    assert not result.failed
    assert result.resent > 0


def test_workers_that_see_each_other_pick_better_by_the_count() -> None:
    cell = attrs.evolve(SHORT, policy=Name.COUNT, trouble=Trouble.SLOW, workers=16, load=0.6, seconds=3.0, warmup=2.0)
    blind, seeing = (simulate(attrs.evolve(cell, sight=sight)) for sight in (None, 0.0))
    assert seeing.quantiles["99"] < 0.7 * blind.quantiles["99"]


def test_a_board_shows_each_worker_what_the_others_have_and_not_its_own() -> None:
    timeline = Timeline()
    far = [ModelDevice(Character(), timeline, Random(1), variation=0.0)]
    group = workers.settings(Name.WORK, far, 3, 9)
    three = [workers.Worker(Name.WORK, group, far, PAYMENTS, timeline, Random(n)) for n in range(3)]
    devices = [worker.group.devices for worker in three]
    board = Board(0.01, timeline, devices)
    for number, (device,) in enumerate(devices):
        device.outstanding, device.work = number, number / 1000
    timeline.run(0.02)
    assert [device.elsewhere for (device,) in devices] == [3, 2, 1]
    assert [round(1000 * device.work) for (device,) in devices] == [3, 3, 3]
    devices[0][0].outstanding = 5
    board.look(devices[2])
    assert [device.elsewhere for (device,) in devices] == [3, 2, 6]


def test_policies_of_the_product_are_the_products_code() -> None:
    for name in (Name.WORK, Name.COUNT, Name.ROUND_ROBIN):
        made = type(scheduler(name, 15.0, Random(1)))
        assert made.refresh is Scheduler.refresh
        assert made.least_loaded is Scheduler.least_loaded
        assert made.trial is Scheduler.trial
        assert "pick" in made.choose.__code__.co_names  # it asks the product's


def test_every_question_has_its_cells_and_options_narrow_them() -> None:
    cells = {question: axes.cells(DEFAULT) for question, axes in QUESTIONS.items()}
    assert {cell.workers for cell in cells["workers"]} >= {1, 64}
    assert {cell.devices for cell in cells["devices"]} >= {1, 16}
    assert {(cell.policy, cell.trouble) for cell in cells["faults"]} == {(p, t) for p in Name for t in Trouble}
    narrowed = Axes(policies=[Name.EWMA], troubles=[Trouble.SLOW]).over(QUESTIONS["faults"]).cells(DEFAULT)
    assert [(cell.policy, cell.trouble) for cell in narrowed] == [(Name.EWMA, Trouble.SLOW)]


def test_the_command_writes_table_json_and_a_drawing(tmp_path: Path) -> None:
    options = "faults --policies work,count --troubles slow --seconds 1 --warmup 2 --load 30 --jobs 1"
    files = ["--json", str(tmp_path / "f.json"), "--svg", str(tmp_path / "f.svg")]
    done = CliRunner().invoke(main, [*options.split(), *files])
    assert done.exit_code == 0, done.output
    assert "3 devices, one device ten times slower, 30% load" in done.output
    told = json.loads((tmp_path / "f.json").read_text())
    assert [(row["policy"], row["load"]) for row in told["results"]] == [("work", 0.3), ("count", 0.3)]
    drawing = (tmp_path / "f.svg").read_text()
    assert f"{1000 * told['results'][0]['quantiles']['99']:.0f} ms" in drawing
    assert CliRunner().invoke(main, ["--policies", "best"]).exit_code == 2


@pytest.mark.parametrize("axis", ["devices", "workers"])
def test_lines_are_drawn_over_numbers(axis: str) -> None:
    short = attrs.evolve(SHORT, seconds=1.0, warmup=2.0, devices=3)
    axes = Axes(policies=[Name.WORK], troubles=[Trouble.SLOW], sights=[None], **{axis: (1, 2)})
    results = [simulate(cell) for cell in axes.over(QUESTIONS["faults"]).cells(short)]
    root = ElementTree.fromstring(draw(results))
    dots = [each.findtext("{*}title", "") for each in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert [words.rpartition(": ")[2] for words in dots] == [_short(result.quantiles["99"]) for result in results]


def _short(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"
