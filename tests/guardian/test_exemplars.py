"""From a slow bucket, or a refusal, to who it was and where."""

from __future__ import annotations

import re

import attrs
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Exemplar as Shown

from balancer.exemplar import Exemplar
from balancer.histogram import Histogram
from balancer.snapshot import GroupSnapshot
from balancer.view import group_snapshot
from guardian.metrics import render
from tests.guardian.test_client import Talk
from tests.support import operable
from tests.support.core import right_answer

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
LONGEST = "c" * 64  # a Common Name may be that long


def said(talk: Talk, seconds: float, request: bytes = b"[AOECHO;BBsecret;]") -> None:
    """One request, answered after so many seconds."""
    talk.say(request)
    talk.group.now += seconds
    for upstream in (*talk.group["a"].upstreams, *talk.group["a"].private):
        if upstream.outstanding:
            talk.group.answer(upstream, right_answer(upstream.outstanding[0].exchange))


def fold(talk: Talk) -> None:
    talk.group.wait(0.1)


def shown(talk: Talk, wall_minus_clock: float = 0.0) -> GroupSnapshot:
    return group_snapshot(talk.group.group, wall_minus_clock)


def exemplars(group: GroupSnapshot, name: str) -> list[Shown]:
    """As a scraper reads them, of all samples of that name."""
    body, _ = render(operable.proxy(group), "1.2.3", OPENMETRICS)
    families = text_string_to_metric_families(body.decode())
    return [s.exemplar for family in families for s in family.samples if s.name == name and s.exemplar]


@pytest.fixture
def talk() -> Talk:
    talk = Talk()
    talk.client.name = "vault-1"
    return talk


def test_the_slowest_request_since_the_last_look_stands_for_its_bucket(talk: Talk) -> None:
    for seconds in (0.002, 0.006, 0.004):
        said(talk, seconds)
    fold(talk)
    echo = next(command for command in shown(talk).commands if command.command == "ECHO")
    (exemplar,) = echo.duration.exemplars.values()
    assert (exemplar.client, exemplar.device, exemplar.completion) == ("vault-1", "a", 2)
    assert exemplar.value == pytest.approx(0.006)
    assert echo.duration.counts[next(iter(echo.duration.exemplars))] == 3  # its bucket, of (0.001, 0.01]


def test_each_bucket_keeps_its_latest_and_a_later_look_begins_anew(talk: Talk) -> None:
    for seconds in (0.5, 0.005, 0.0005, 0.006):
        said(talk, seconds)
        fold(talk)
    (echo,) = shown(talk).commands
    assert {bucket: each.completion for bucket, each in echo.duration.exemplars.items()} == {3: 1, 1: 4, 0: 3}


def test_device_and_proxy_show_the_same_request(talk: Talk) -> None:
    said(talk, 0.05)
    fold(talk)
    group = shown(talk, wall_minus_clock=1_790_000_000.0)
    (of_device,) = exemplars(group, "guardian_device_duration_seconds_bucket")
    assert of_device.labels == {"client": "vault-1", "command": "ECHO", "outcome": "ok", "completion": "1"}
    assert of_device.value == pytest.approx(0.05)
    assert float(of_device.timestamp) == pytest.approx(1_790_000_000 + 1000.05, abs=0.001)
    (of_proxy,) = exemplars(group, "guardian_proxy_duration_seconds_bucket")
    assert (of_proxy.labels["device"], of_proxy.value) == ("a", pytest.approx(0))


def test_a_write_is_no_exemplar_of_a_device_since_its_time_is_that_of_several(talk: Talk) -> None:
    said(talk, 0.05, b"[AOGPKS;]")
    assert talk.group.group.commands.find(b"GPKS").is_write
    fold(talk)
    group = shown(talk)
    assert exemplars(group, "guardian_device_duration_seconds_bucket") == []
    (of_command,) = exemplars(group, "guardian_request_duration_seconds_bucket")
    assert of_command.labels["device"] == "a"


def test_who_was_refused_stands_at_the_count(talk: Talk) -> None:
    said(talk, 0.001)
    talk.say(b"[AOGPKD;BBsecret;]")
    (refused,) = exemplars(shown(talk), "guardian_requests_total")
    assert refused.labels == {"client": "vault-1", "completion": "2"}


def test_one_that_timed_out_names_the_device_that_had_it(talk: Talk) -> None:
    talk.say(b"[AOECHO;]")
    talk.group.wait(30)
    (late,) = exemplars(shown(talk), "guardian_requests_total")
    assert late.labels == {"client": "vault-1", "device": "a", "completion": "1"}


def test_the_request_itself_is_let_go(talk: Talk) -> None:
    said(talk, 0.05)
    count = talk.group.group.commands.find(b"ECHO").count
    assert count.slow is not None
    fold(talk)
    assert count.slow is None
    body, _ = render(operable.proxy(shown(talk)), "1.2.3", OPENMETRICS)
    assert b"vault-1" in body
    assert b"secret" not in body


@pytest.mark.parametrize("name", [LONGEST, '"' * 64, "\\" * 64, "ü\n" * 32])
def test_the_longest_names_fit(name: str) -> None:
    one = Exemplar(
        value=0.005, at=1.0, client=name, device="d" * 63, command="other", outcome="device_error", completion=10**15
    )
    counted = Histogram(operable.BOUNDS)
    for bound in operable.BOUNDS:
        counted.show(attrs.evolve(one, value=bound))
    snapshot = operable.group("payments", operable.device(duration=counted.snapshot()))
    command = attrs.evolve(snapshot.commands[0], duration=counted.snapshot(), latest={"busy": one})
    snapshot = attrs.evolve(snapshot, commands=(command,), proxy_duration=counted.snapshot())
    body, _ = render(operable.proxy(snapshot), "1.2.3", OPENMETRICS)
    families = list(text_string_to_metric_families(body.decode()))
    found = [sample.exemplar for family in families for sample in family.samples if sample.exemplar]
    assert len(found) == 3 * len(operable.BOUNDS) + 1
    for each in found:
        assert sum(len(key) + len(value) for key, value in each.labels.items()) <= 128


def test_the_text_format_has_none() -> None:
    counted = Histogram(operable.BOUNDS)
    counted.show(Exemplar(value=0.005, at=1.0, client="a", device="", command="ECHO", outcome="ok", completion=1))
    snapshot = operable.proxy(operable.group("payments", proxy_duration=counted.snapshot()))
    body, _ = render(snapshot, "1.2.3", "")
    assert not re.search(rb"completion=", body)
