"""The pure parts of the load generator."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

import pytest

from config.model import Bind
from loadtest.generate import chart, json_report, text_report
from loadtest.generate.answers import REFUSALS, WRONG, judge, logged_in
from loadtest.generate.command import exit_code
from loadtest.generate.mix import Mix, templates
from loadtest.generate.nodes import ScenarioError
from loadtest.generate.reading import read
from loadtest.generate.requirement import parse_requirement
from loadtest.generate.result import Result
from loadtest.generate.scenario import Command, Login, Phase, Scenario, Tls
from loadtest.generate.tally import Ending, Second, Tally
from loadtest.generate.verdict import judge_run
from loadtest.generate.worker import SetUpError, decode_scenario, encode_scenario, login_messages

ECHO = templates(Command(command="ECHO"), Random(1))[0]


def scenario(**settings: Any) -> Scenario:
    settings = {"target": (Bind(host="127.0.0.1", port=9100),), "phases": (Phase(duration=2.0, rate=100),), **settings}
    return Scenario(**settings)


def finished(asked: Scenario, *seconds: Second, wanted: float = 0.2, waiting: float = 0.0) -> Result:
    result = Result(asked)
    for second in seconds:
        result.add(second)
    result.endings.append(Ending(cpu=0.1, wanted=wanted, waiting=waiting, seconds=2.0))
    result.finish()
    return result


# ---- requests


def test_the_mix_keeps_its_weights_and_gives_each_request_a_tag_of_its_own() -> None:
    mix = Mix([Command(command="ECHO", weight=9), Command(command="RAND", size=80, size_to=200)], Random(3), 5)
    drawn = [mix.draw() for _ in range(10_000)]
    labels = Counter(template.label for template, _ in drawn)
    assert labels["RAND"] == pytest.approx(1000, rel=0.2)
    assert len({tag for _, tag in drawn}) == 10_000
    assert all(tag.startswith(b"AG05.") for _, tag in drawn)


@pytest.mark.parametrize("fields", ["", "RG3;", "RG3"])
def test_a_request_has_the_size_that_was_asked_for(fields: str) -> None:
    mix = Mix([Command(command="HMAC", fields=fields, size=64, size_to=300)], Random(3), 0)
    requests = [template.request(tag) for template, tag in (mix.draw() for _ in range(500))]
    assert all(64 <= len(request) <= 300 for request in requests)
    assert len({len(request) for request in requests}) > 30
    assert all(request.startswith(b"[AOHMAC;AG") and request.endswith(b";]") for request in requests)
    assert all((b";RG3;" in request) is bool(fields) for request in requests)


# ---- answers


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"[AOECHO;AG00.1;]", None),
        (b"[AOECHO;BB1.2;AG00.1]", None),
        (b"[AOECHO;BB1.2;]", None),
        (b"[AOECHO;AG00.12;]", "wrong"),
        (b"[AOECHO;AG00;]", "wrong"),
        (b"[AORAND;AG00.1;]", "wrong"),
        (b"[AOERRO;AM901;ANAO;BBFUNCTION BLOCKED;AG00.1;]", "901 function blocked"),
        (b"[AOERRO;AM901;ANAO;BBFUNCTION BLOCKED;AG00.2;]", "wrong"),
        (b"[AOERRO;AM1234567;]", "device error"),
        (b"[AOERRO;AM20;BBLOGIN REQUIRED;]", "device error 20"),
        (b"[AOERRO;AM20", "wrong"),
        (b"[]", "wrong"),
        (b"]", "wrong"),
    ],
)
def test_answers_are_judged(answer: bytes, kind: str | None) -> None:
    found = judge(answer, ECHO, b"AG00.1")
    assert found == kind if kind != "wrong" else (found or "").startswith("wrong answer")


def test_every_refusal_of_the_proxy_has_a_name() -> None:
    assert sorted(int(number) for number in REFUSALS) == list(range(901, 910))


def test_a_login_is_believed_only_when_the_answer_says_yes() -> None:
    assert logged_in(b"[AORKLG;ANY;JW1;]")
    assert not logged_in(b"[AORKLG;ANN;]")
    assert not logged_in(b"[AORKLG;]")
    assert not logged_in(b"[AOERRO;ANY;]")


def test_users_are_read_from_a_file_and_no_error_holds_a_password(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("a:first\n\nb:se:cond\n")
    assert login_messages(Login(users_file=users)) == [b"[AORKLG;DAa;CHfirst;]", b"[AORKLG;DAb;CHse:cond;]"]
    for text in ("a:first\nsecret\n", "a:sec;ret\n", "a:s\xe9cret"):
        users.write_text(text)
        with pytest.raises(SetUpError) as caught:
            login_messages(Login(users_file=users))
        assert "cret" not in str(caught.value)


# ---- scenarios


def test_a_scenario_reaches_its_processes_unchanged() -> None:
    asked = scenario(
        tls=Tls(certificate=Path("/a"), ca=(Path("/b"),)), login=Login(user="me"), mix=(Command(command="RAND"),)
    )
    assert decode_scenario(encode_scenario(asked)) == asked


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("loop: closed\nphases:\n- {duration: 1s, rate: 5/s}", ":4: phases[0].rate: belongs to a"),
        ("phases:\n- {duration: 1s, clients: 5}", ":3: phases[0].clients: belongs to a"),
        ("phases:\n- {duration: 1s}", ":3: phases[0]: has neither rate nor burst"),
        ("phases:\n- {duration: 1s, burst: 1, to_rate: 1/s}", ":3: phases[0].to_rate: needs rate"),
        ("phases:\n- {duration: 1s, rate: 1/s, every: 1s}", ":3: phases[0].every: needs burst"),
        ("phases: []", ":2: phases: is empty"),
        ("mix: []", ":2: mix: is empty"),
        ("mix:\n- {command: echo}", ":3: mix[0].command: is 'echo', must be four upper-case"),
        ("mix:\n- {command: ECHO, fields: AG1}", ":3: mix[0].fields: is 'AG1', must be fields such as"),
        ("mix:\n- {command: ECHO, fields: 'BB1;[;'}", ":3: mix[0].fields: is 'BB1;[;', must be fields"),
        ("mix:\n- {command: ECHO, size: 10}", ":3: mix[0].size: is 10, must be at least 26 bytes"),
        ("mix:\n- {command: ECHO, size: 100, size_to: 50}", ":3: mix[0].size_to: must be at least size"),
        ("processes: 4\nconnections: 2", ":2: processes: is more than there are connections"),
        ("require: [p99<20ms, speed>1]", ":2: require[1]: is 'speed>1': must be like"),
        ("login: {}", "login: needs either login.user or login.users_file"),
        ("login: {user: me, password: x}", "login.password: is a secret, which is never in the file"),
        ("tls: {mode: mutual, ca: [a]}", ":2: tls.certificate: is missing"),
        ("tls: {mode: server}", ":2: tls.ca: is missing"),
        ("rat: 5", ":2: rat: is no known key"),
    ],
)
def test_mistakes_in_a_scenario_are_named_with_their_line(text: str, said: str, tmp_path: Path) -> None:
    base = {"phases": "phases: [{duration: 1s, rate: 5/s}]", "tls": "tls: {mode: clear}"}
    lines = ["target: [127.0.0.1:9100]", text, *(line for key, line in base.items() if key not in text)]
    file = tmp_path / "scenario.yaml"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(ScenarioError) as caught:
        read(file, {})
    assert said in str(caught.value)


# ---- what is required


def test_requirements_are_compared_with_what_was_found() -> None:
    result = finished(scenario(), Second(number=0, due=200, latency={"ECHO": {1000: 190, 50_000: 10}}))
    result.failures["904 busy"] = 2
    for text, met in {
        "p50<2ms": True, "p99<20ms": False, "p99 < 60ms": True, "max<60ms": True, "mean>1ms": True,
        "errors<1%": True, "errors<0.1%": False, "rate>99/s": True, "rate>101/s": False,
    }.items():  # fmt: skip
        assert parse_requirement(text).met(result) is met, text


def test_nothing_is_met_where_nothing_was_answered() -> None:
    assert not parse_requirement("errors<1%").met(finished(scenario(), Second(number=0)))
    assert not parse_requirement("p99<1s").met(finished(scenario(), Second(number=0)))


@pytest.mark.parametrize("text", ["p99<20", "p99", "p999<1s", "errors<1", "rate>5", "p99=1s", ""])
def test_requirements_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|needs|such as"):
        parse_requirement(text)


# ---- the verdict


def test_a_few_late_sends_bound_what_can_be_trusted() -> None:
    result = finished(scenario(), Second(number=0, due=10_000, late=20, lag={10: 9_980, 5000: 20}))
    verdict = judge_run(result)
    assert not verdict.bottleneck
    assert "20 of 10,000 sends (0.20%)" in verdict.remarks[0]
    assert "trust figures up to p99" in verdict.remarks[0]


@pytest.mark.parametrize(
    ("second", "wanted", "waiting", "said"),
    [
        (Second(number=0, due=1000, late=10), 0.2, 0.0, "1.0% of the sends"),
        (Second(number=0, due=1000, skipped=1), 0.2, 0.0, "were skipped"),
        (Second(number=0, due=1000), 1.9, 0.0, "give it more --processes"),
        (Second(number=0, due=1000), 1.9, 1.0, "give it more cores"),
    ],
)
def test_reasons_for_a_bottleneck(second: Second, wanted: float, waiting: float, said: str) -> None:
    verdict = judge_run(finished(scenario(), second, wanted=wanted, waiting=waiting))
    assert [said in reason for reason in verdict.reasons] == [True]


def test_a_generator_in_time_is_no_bottleneck() -> None:
    verdict = judge_run(finished(scenario(), Second(number=0, due=1000, passes=1000), wanted=1.0))
    assert not verdict.bottleneck
    assert verdict.remarks == ()


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (Second(number=0, due=100, latency={"ECHO": {900: 100}}), 0),
        (Second(number=0, due=100, latency={"ECHO": {900: 90}}, failures={"904 busy": 10}), 0),
        (Second(number=0, due=100, latency={"ECHO": {900: 99}}, failures={WRONG: 1}), 1),
        (Second(number=0, due=100, failures={"904 busy": 100}), 1),
        (Second(number=0, due=100, late=1, latency={"ECHO": {900: 100}}), 1),
        (Second(number=0, due=100, latency={"ECHO": {21_000: 100}}), 1),
    ],
)
def test_the_exit_code_says_whether_a_script_may_go_on(second: Second, code: int) -> None:
    result = finished(scenario(), second)
    assert exit_code(result, judge_run(result), [parse_requirement("p99<20ms")]) == code


# ---- counting and telling


def test_latencies_are_kept_to_a_thousandth() -> None:
    tally = Tally(0.001)
    for value in (0.000001, 0.000999, 0.123456, 2.5, 600.0):
        tally.answered("ECHO", value, value)
    (counts,) = tally.take(0, connected=1, outstanding=0).latency.values()
    assert sorted(counts) == pytest.approx([1, 999, 123_456, 2_500_000, 600_000_000], rel=0.001)
    assert tally.take(1, connected=1, outstanding=0).latency == {}


def whole_run(*, late: int = 0, failed: bool = True) -> Result:
    phases = (Phase(duration=1.0, rate=50, measured=False), Phase(duration=2.0, rate=100))
    asked = scenario(phases=phases, mix=(Command(command="ECHO"), Command(command="RAND")), login=Login(user="me"))
    seconds = [
        Second(number=0, early=50, warmup=50),
        Second(number=1, due=100, sent=100, late=late, latency={"ECHO": {900: 60, 2000: 40}}, service={900: 100}),
        Second(number=2, due=100, sent=100, latency={"RAND": {1100: 98}}, service={900: 98}),
        Second(number=3),
    ]
    if failed:
        seconds[2].failures = {"904 busy": 2}
    return finished(asked, *seconds)


@pytest.mark.parametrize("late", [0, 50])
def test_the_drawing_is_xml_and_says_what_matters(late: int) -> None:
    result = whole_run(late=late)
    drawn = chart.render(result, judge_run(result), {"processor": "<&>"}, started="today")
    texts = [element.text or "" for element in ElementTree.fromstring(drawn).iter() if element.tag.endswith("text")]
    for said in (
        "Latency by percentile",
        "Answers a second",
        "warm-up",
        "right answers",
        "\N{BLACK SQUARE} failed",
        "99 %",
        "failed: 1.00%",
    ):
        assert said in texts
    assert any("<&>" in text for text in texts)
    assert any("bottleneck" in text for text in texts) is bool(late)
    assert drawn.count("prefers-color-scheme:dark") == 2


def test_a_second_without_answers_is_a_gap_in_the_drawing() -> None:
    def lines(*seconds: int) -> list[int]:
        told = [Second(number=number, due=9, latency={"ECHO": {900: 9}}) for number in seconds]
        result = finished(scenario(phases=(Phase(duration=6.0, rate=9),)), *told)
        drawn = ElementTree.fromstring(chart.render(result, judge_run(result), {}, started="today"))
        lines = [each for each in drawn.iter() if each.tag.endswith("polyline") and each.get("class") == "l s2"]
        return [len((line.get("points") or "").split()) for line in lines if "," in (line.get("points") or "")]

    assert lines(0, 1, 2, 3) == [2, 4], "the first is the legend's"
    assert lines(0, 1, 4, 5) == [2, 2, 2]


def test_a_run_without_an_answer_is_drawn_and_told_too() -> None:
    result = finished(scenario(), Second(number=0, due=5, failures={"904 busy": 5}))
    verdict = judge_run(result)
    ElementTree.fromstring(chart.render(result, verdict, {}, started="today"))
    assert "100.00%" in text_report.render(result, verdict, [], {}, started="today")
    assert json.loads(json_report.render(result, verdict, [], {}, started="today"))["latency_us"]["p99"] == 0


def test_the_reports_agree() -> None:
    result = whole_run()
    verdict, requirements = judge_run(result), [parse_requirement("errors<0.1%")]
    told = json.loads(json_report.render(result, verdict, requirements, {"cores": 2}, started="today"))
    text = text_report.render(result, verdict, requirements, {"cores": 2}, started="today")
    assert told["requests"]["answered"] == 198
    assert "198 right answers in 2 s: 99/s of 100/s that arrived" in text
    assert told["failures"] == {"904 busy": 2}
    assert "2  904 busy" in text
    assert told["required"] == [{"text": "errors < 0.1%", "found": 0.01, "met": False}]
    assert "NOT MET  errors < 0.1%" in text
    assert told["commands"]["ECHO"]["count"] == 100
    assert [second["answered"] for second in told["seconds"]] == [0, 100, 98, 0]


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0 µs"), (999, "999 µs"), (1230, "1.23 ms"), (999_900, "1 s"), (2_500_000, "2.5 s"), (1.2e9, "1200 s")],
)
def test_durations_are_short(value: float, said: str) -> None:
    assert text_report.duration(value) == said
