"""The loop of the load generator against real sockets."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import attrs
import pytest

from config.model import Bind, TlsMode
from loadtest.generate.answers import DIFFERENT, UNASKED, WRONG
from loadtest.generate.arrivals import Share, arrivals
from loadtest.generate.connection import LOGIN_REFUSED
from loadtest.generate.engine import LOST, NEVER_SENT, NOT_TO_BE_TRUSTED, TIMED_OUT, Engine
from loadtest.generate.mix import Mix, Template
from loadtest.generate.result import Result
from loadtest.generate.scenario import Command, Phase, Scenario, Tls
from loadtest.generate.tally import Ending, Ready
from loadtest.generate.verdict import judge_run
from loadtest.generate.worker import peers
from tests.support.moody_device import moody_device

GONE = 1  # a port where nobody listens: the kernel gives no such one away


def scenario(port: int, phases: tuple[Phase, ...], **settings: Any) -> Scenario:
    target = (Bind(host="127.0.0.1", port=port),)
    return Scenario(target=target, phases=phases, tls=Tls(mode=TlsMode.CLEAR), **settings)


def run(asked: Scenario, mix: Mix | None = None, logins: tuple[bytes, ...] = ()) -> Result:
    """All of it in this process."""
    result = Result(asked)
    share = Share()
    engine = Engine(
        asked,
        share,
        peers(asked),
        logins,
        arrivals(asked.phases, share, None),
        mix or Mix(asked.mix, Random(1), 0),
        result.add,
    )
    events = engine.connect()
    result.add_ready(Ready(connected=engine.connected, wanted=asked.connections, events=events))
    start = time.monotonic()
    engine.run(start)
    result.endings.append(Ending(cpu=0.0, wanted=0.0, waiting=0.0, seconds=time.monotonic() - start))
    result.finish()
    return result


def opened(port: int, rate: float, duration: float, **settings: Any) -> Scenario:
    return scenario(port, (Phase(duration=duration, rate=rate),), **settings)


def test_a_stall_shows_in_the_percentiles_of_the_open_loop() -> None:
    with moody_device(stall_at=0.5, stall=1.0) as device:
        result = run(opened(device.port, 200, 2.0, connections=4, depth=1))
    assert result.answered == result.due == 400
    p50, p90, p99 = (value / 1e6 for value in result.total.percentiles((50.0, 90.0, 99.0)))
    assert p90 > 0.6, "half of the requests arrived during the stall: a tenth waited for more than 0.8 s"
    assert p99 > 0.9
    # What a generator sees that lets its own sends wait: four requests of 400.
    assert result.service.percentiles((90.0,))[0] / 1e6 < 0.3 < p90 - p50 / 2
    assert any("found every connection busy" in remark for remark in judge_run(result).remarks)


def test_a_closed_loop_hides_the_same_stall() -> None:
    phases = (Phase(duration=2.0, clients=4),)
    with moody_device(stall_at=0.5, stall=1.0) as device:
        result = run(scenario(device.port, phases, loop="closed", connections=4))
    assert result.answered > 500
    assert result.total.most / 1e6 > 0.9, "four requests saw it"
    assert result.total.percentiles((99.0,))[0] / 1e6 < 0.3


class SlowMix(Mix):
    """Stands for anything that keeps the generator from sending in time."""

    def draw(self) -> tuple[Template, bytes]:
        time.sleep(0.004)
        return super().draw()


def test_a_generator_that_sends_late_says_so() -> None:
    with moody_device() as device:
        asked = opened(device.port, 500, 0.5)
        result = run(asked, SlowMix(asked.mix, Random(1), 0))
    verdict = judge_run(result)
    assert verdict.bottleneck
    assert "of the sends were more than 1 ms late" in verdict.reasons[0]
    assert result.answered == 250, "late, but nothing is left out"


def test_sends_later_than_the_timeout_are_skipped_and_said_to_be() -> None:
    with moody_device() as device:
        asked = opened(device.port, 500, 0.5, timeout=0.1)
        result = run(asked, SlowMix(asked.mix, Random(1), 0))
    assert result.skipped > 0
    assert result.skipped + result.sent + result.failures[NEVER_SENT] == result.due == 250
    assert "were skipped" in judge_run(result).reasons[0]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"[AOERRO;AM904;ANAO;BBBUSY;]", "904 busy"),
        (b"[AOERRO;AM34;ANAO;BBINVALID TOKEN;]", "device error 34"),
        (b"[AOERRO;AMsecret;]", "device error"),
        (b"[AOECHO;AG99.00000001;]", WRONG),
        (b"[AORAND;]", WRONG),
        (b"hello]", WRONG),
    ],
)
def test_failures_are_counted_by_kind(answer: bytes, kind: str) -> None:
    with moody_device(lambda _: answer) as device:
        result = run(opened(device.port, 100, 0.1, connections=4))
    assert result.answered == 0
    assert result.failures[kind] > 0
    assert result.failed == 10
    assert bool(result.wrong) is (kind == WRONG)
    assert (result.events.get(NOT_TO_BE_TRUSTED, 0) > 0) is (kind == WRONG), "its connection is not used again"


def test_an_answer_that_nobody_asked_for_is_wrong() -> None:
    with moody_device(lambda request: request * 2) as device:
        result = run(opened(device.port, 50, 0.1, connections=4))
    assert result.failures[UNASKED] > 0


def test_echo_devices_are_held_to_every_byte() -> None:
    with moody_device(lambda request: request.replace(b"00112233", b"00112234")) as device:
        mix = (Command(command="ECHO", fields="BO00112233;"),)
        result = run(opened(device.port, 50, 0.1, mix=mix, echo=True))
    assert result.failures[DIFFERENT] > 0


def test_lost_connections_are_counted_and_made_again() -> None:
    answers = iter([None] * 3)
    with moody_device(lambda request: next(answers, request)) as device:
        result = run(opened(device.port, 100, 0.6, connections=2))
    assert result.failures[LOST] >= 3
    assert result.events["closed by the peer"] == 3
    assert result.answered == 60 - result.failed > 0
    assert result.moments[0].connected == 2, "all are there again"


def test_requests_without_an_answer_time_out_and_their_connection_is_made_again() -> None:
    silent = iter([b"", b""])
    with moody_device(lambda request: next(silent, request)) as device:
        result = run(opened(device.port, 50, 1.0, connections=2, depth=1, timeout=0.3))
    assert result.failures[TIMED_OUT] == 2
    assert result.answered + result.failed == 50
    assert result.failures[NEVER_SENT] + result.failures[TIMED_OUT] == result.failed


def test_a_refused_login_is_tried_once_and_by_nobody_else() -> None:
    """Three wrong passwords in a row lock an account on some devices."""

    def answer(request: bytes) -> bytes:
        return b"[AORKLG;ANN;]" if b"DAwrong" in request else b"[AORKLG;ANY;]" if b"RKLG" in request else request

    with moody_device(answer) as device:
        result = run(opened(device.port, 50, 0.2, connections=8), logins=(b"[AORKLG;DAwrong;]", b"[AORKLG;DAright;]"))
        assert device.asked == 1 + 4 + 10
    assert result.events == {LOGIN_REFUSED: 1}
    assert result.ready[0].connected == 4
    assert result.answered == 10


def test_where_every_login_is_refused_nothing_is_sent() -> None:
    with moody_device(lambda _: b"[AORKLG;ANN;]") as device:
        result = run(opened(device.port, 50, 0.2, connections=3), logins=(b"[AORKLG;DAme;CHwrong;]",))
        assert device.asked == 1
    assert result.ready[0].connected == 0
    assert result.failures == {NEVER_SENT: 10}


def test_each_connection_logs_in_with_the_next_of_the_users() -> None:
    seen = []

    def answer(request: bytes) -> bytes:
        if request.startswith(b"[AORKLG"):
            seen.append(request)
            return b"[AORKLG;ANY;]"
        return request

    with moody_device(answer) as device:
        result = run(opened(device.port, 50, 0.1, connections=4), logins=(b"[AORKLG;DAa;]", b"[AORKLG;DAb;]"))
    assert sorted(seen) == [b"[AORKLG;DAa;]"] * 2 + [b"[AORKLG;DAb;]"] * 2
    assert result.answered == 5


def test_nobody_there_is_a_count_and_no_traceback() -> None:
    result = run(opened(GONE, 50, 0.1, connections=2, timeout=0.2))
    assert result.ready[0].connected == 0
    assert result.events["connection refused"] >= 2
    assert result.failed == 5


def test_a_warm_up_is_not_in_the_figures() -> None:
    phases = (Phase(duration=0.2, rate=100, measured=False), Phase(duration=0.2, rate=50))
    with moody_device() as device:
        result = run(scenario(device.port, phases))
        assert device.asked == 30
    assert (result.answered, result.warmup, result.due, result.sent) == (10, 20, 10, 10)
    assert result.rate == pytest.approx(50)


def test_a_closed_loop_ramps_its_clients() -> None:
    connections = []

    def answer(request: bytes) -> bytes:
        time.sleep(0.002)
        return request

    phases = (Phase(duration=0.5, clients=0), Phase(duration=0.5, clients=2))
    with moody_device(answer) as device:
        result = run(scenario(device.port, phases, loop="closed", connections=4))
        connections.append(device.asked)
    assert 0 < result.answered == connections[0]
    assert result.moments[0].outstanding <= 2


def test_the_mix_is_told_by_command() -> None:
    mix = (Command(command="ECHO", weight=3), Command(command="RAND", name="random", weight=1))
    with moody_device() as device:
        result = run(opened(device.port, 400, 0.25, mix=mix))
    assert set(result.latency) == {"ECHO", "random"}
    assert 60 <= result.latency["ECHO"].count <= 90
    assert sum(each.count for each in result.latency.values()) == result.answered == 100


@pytest.mark.parametrize("framing", ["length2", "length4"])
def test_messages_may_have_a_length_before_them(framing: str) -> None:
    heads = []

    def answer(request: bytes) -> bytes:
        heads.append(request.partition(b"[")[0])
        return request

    with moody_device(answer) as device:
        result = run(opened(device.port, 50, 0.1, framing=framing))
    assert result.answered == 5
    assert {int.from_bytes(head, "big") for head in heads} == {len(b"[AOECHO;AG00.00000001;]")}
    assert {len(head) for head in heads} == {int(framing[-1])}


def test_connections_take_the_targets_in_turns() -> None:
    with moody_device() as one, moody_device() as other:
        asked = scenario(one.port, (Phase(duration=0.2, rate=100),), connections=4)
        result = run(attrs.evolve(asked, target=(*asked.target, Bind(host="127.0.0.1", port=other.port))))
    assert result.answered == 20
    assert one.asked + other.asked == 20
    assert min(one.asked, other.asked) > 0
