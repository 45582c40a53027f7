"""Every case does what it says, which `make bench` then counts."""

from __future__ import annotations

import pytest

from balancer.group import Group
from bench.cases import CASES, ECHO, WRITE, Case
from bench.rig import Rig


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_runs_and_can_be_run_again(case: Case) -> None:
    run, close = case.make()
    run(case.unit)
    run(case.unit)
    close()


def answered(group: Group) -> int:
    return sum(device.ok for device in group.devices)


def test_requests_of_clients_go_through_every_device_and_nothing_is_left() -> None:
    rig = Rig(clients=8, pipeline=1, connections=2)
    rig.ask(ECHO, times=5)
    assert answered(rig.group) == 40
    assert all(device.ok and not device.outstanding for device in rig.group.devices)
    rig.close()


def test_who_logged_in_has_connections_of_its_own_and_uses_no_others() -> None:
    rig = Rig(clients=4, pipeline=1, connections=2)
    rig.log_in()
    shared = sum(upstream.used for device in rig.group.devices for upstream in device.upstreams)
    rig.ask(ECHO, times=5)
    assert rig.group.sessions.results["ok"] == 4
    assert shared == sum(upstream.used for device in rig.group.devices for upstream in device.upstreams) == 0
    rig.close()


def test_a_write_is_done_by_all_three() -> None:
    rig = Rig(clients=2, pipeline=1, connections=1)
    rig.ask(WRITE, times=3)
    assert [device.ok for device in rig.group.devices] == [6, 6, 6]
    assert rig.group.writes.results == {"ok": 6}
    rig.close()
