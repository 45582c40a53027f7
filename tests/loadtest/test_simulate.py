"""The simulation: the same each time, true to queueing theory, and run by the product's own code."""

from __future__ import annotations

import json

import attrs
import pytest
from click.testing import CliRunner

from balancer.group import Group
from balancer.scheduler import Scheduler
from loadtest.simulate import worker as workers
from loadtest.simulate.cell import Cell, Trouble, simulate
from loadtest.simulate.command import main
from loadtest.simulate.device import Character, Fault
from loadtest.simulate.policies import Name, scheduler
from loadtest.simulate.presets import QUESTIONS, Axes
from loadtest.simulate.report import as_json, render
from loadtest.simulate.timeline import Timeline

SHORT = Cell(policy=Name.WORK, seconds=4.0, warmup=3.0, load=0.3)


def test_time_goes_on_in_order_and_not_by_itself() -> None:
    timeline, seen = Timeline(), []
    timeline.at(2.0, seen.append, "second")
    timeline.at(1.0, lambda: timeline.after(0.5, seen.append, "first"))
    timeline.at(3.0, seen.append, "too late")
    timeline.run(3.0)
    assert (seen, timeline.now) == (["first", "second"], 3.0)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    cell = attrs.evolve(SHORT, trouble=Trouble.FLAPS, workers=2, sight=0.005, warmup=24.0)  # it goes down at 25
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


def test_the_products_own_policies_are_the_products_own_code() -> None:
    timeline = Timeline()
    made = scheduler(Name.WORK, 15.0, __import__("random").Random(1))
    assert type(made).choose is not Scheduler.pick
    assert made.least_loaded.__func__ is Scheduler.least_loaded
    assert workers.Group is Group
    assert timeline.now == 0.0
