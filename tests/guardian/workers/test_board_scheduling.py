"""Workers that see each other's work pick as one process would; those that do not collide. In virtual time."""

from __future__ import annotations

import heapq
from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from balancer.cost import DECAY_EVERY
from balancer.device import Device
from balancer.scheduler import Scheduler
from config.model import Ejection, Ping, Policy
from guardian.workers.board import Board, Place, make_board
from health.state import Health
from health.tracker import HealthTracker
from tests.support.core import BOUNDS, device_settings

COUNT, WORK = Policy.LEAST_OUTSTANDING_COUNT, Policy.LEAST_OUTSTANDING
SECONDS = {"a": 0.002, "b": 0.002, "slow": 0.020}
_WARM_UP = 500  # requests


@attrs.frozen
class Seen:
    """After the warm-up: how much the devices had outstanding, from all workers together, and what was answered."""

    most: dict[str, int]
    mean: dict[str, float]
    answered_per_second: float


class Worker:
    def __init__(self, policy: Policy) -> None:
        self.devices = [_device(name) for name in SECONDS]
        self.scheduler = Scheduler(policy, 0.0)
        self.scheduler.refresh(self.devices)
        self.place: Place | None = None

    def join(self, place: Place) -> None:
        self.place = place
        for device in self.devices:
            place.enlist("payments", device)


def _device(name: str) -> Device:
    made = Device(device_settings(name, outstanding=1000), HealthTracker(Ping(), Ejection(), Random(1)), BOUNDS)
    made.tracker.health = Health.UP
    made.free.append(SimpleNamespace())  # type: ignore[arg-type]
    return made


def closed_loop(
    policy: Policy, workers: int, clients: int, *, parallel: int, board: bool, requests: int = 2000
) -> Seen:
    """Clients, spread over workers, ask again when they are answered; a device works on ``parallel`` at a time."""
    made = [Worker(policy) for _ in range(workers)]
    shared = Board(make_board(workers))
    if board:
        for number, worker in enumerate(made, 1):
            worker.join(Place(shared, number))
    busy_until = {name: [0.0] * parallel for name in SECONDS}
    events: list[tuple[float, int, Worker, Device, float, float]] = []
    outstanding: Counter[str] = Counter()
    most: Counter[str] = Counter()
    seconds: Counter[str] = Counter()  # times what was outstanding
    now = started = decayed = 0.0
    asking = [made[client % workers] for client in range(clients)]
    for number in range(requests + _WARM_UP):
        for worker in asking:
            if worker.place is not None:
                worker.place.look()
            picked = worker.scheduler.pick(b"ECHO", now)
            assert picked is not None
            cost = picked.begin(b"ECHO", now)
            if worker.place is not None:
                worker.place.publish()
            outstanding[picked.name] += 1
            most[picked.name] = max(most[picked.name], outstanding[picked.name])
            lanes = busy_until[picked.name]
            lane = min(range(parallel), key=lanes.__getitem__)
            lanes[lane] = max(lanes[lane], now) + SECONDS[picked.name]
            heapq.heappush(events, (lanes[lane], number * clients + len(events), worker, picked, now, cost))
        done_at, _, worker, device, sent, cost = heapq.heappop(events)
        for name in SECONDS:
            seconds[name] += outstanding[name] * (done_at - now)  # type: ignore[assignment]
        now = done_at
        outstanding[device.name] -= 1
        device.finish(_attempt(cost))
        device.costs.learn(b"ECHO", now - sent)
        if worker.place is not None:
            worker.place.publish()
        while now >= decayed + DECAY_EVERY:
            decayed += DECAY_EVERY
            for each in made:
                for one in each.devices:
                    one.costs.decay(DECAY_EVERY)
        asking = [worker]
        if number == _WARM_UP:
            started = now
            most.clear()
            seconds.clear()
    shared.close()
    span = now - started
    return Seen(dict(most), {name: seconds[name] / span for name in SECONDS}, requests / span)


def _attempt(cost: float) -> Any:
    return SimpleNamespace(cost=cost)


@pytest.mark.parametrize(("workers", "clients", "parallel"), [(2, 2, 1), (2, 8, 4), (8, 8, 1), (8, 8, 4)])
def test_a_slow_device_has_as_little_outstanding_as_from_one_worker(workers: int, clients: int, parallel: int) -> None:
    one = closed_loop(COUNT, 1, clients, parallel=parallel, board=False)
    seeing = closed_loop(COUNT, workers, clients, parallel=parallel, board=True)
    assert seeing.most["slow"] <= one.most["slow"]
    assert seeing.mean["slow"] <= one.mean["slow"] * 1.02
    assert seeing.answered_per_second >= one.answered_per_second * 0.98
    blind = closed_loop(COUNT, workers, clients, parallel=parallel, board=False)
    assert blind.most["slow"] > one.most["slow"]
    assert blind.mean["slow"] > one.mean["slow"] * 1.3
    assert blind.answered_per_second < one.answered_per_second * 0.9


def test_by_work_nobody_queues_on_one_device_while_another_is_idle() -> None:
    """Two devices that do four at a time are enough for eight clients, if nobody collides."""
    one = closed_loop(WORK, 1, 8, parallel=4, board=False)
    seeing = closed_loop(WORK, 8, 8, parallel=4, board=True)
    blind = closed_loop(WORK, 8, 8, parallel=4, board=False)
    assert one.most["a"] == seeing.most["a"] == 4
    assert blind.most["a"] > 5
    assert seeing.answered_per_second >= one.answered_per_second * 0.98
