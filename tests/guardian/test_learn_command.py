"""`guardian learn` against an admin port, with a group behind it whose traffic the test makes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from guardian.cli import execute
from guardian.learning import Who
from guardian.lessons import Lessons
from guardian.remote import Remote
from tests.support.core import FakeGroup
from tests.support.operable import FakeProxy
from tests.support.traffic import NOBODY, VAULT, exchange, failed, ok

from .test_commands import admin_port

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def run_it(url: str, *args: str) -> tuple[int, str, str]:
        monkeypatch.setenv("GUARDIAN_ADMIN", url)
        code = execute(["learn", *args])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run_it


def proxy() -> FakeProxy:
    payments, keys = FakeGroup().ready().group, FakeGroup().ready().group
    keys.name = "keys"
    return FakeProxy(groups={"payments": payments, "keys": keys})


def taught(watched: FakeProxy, *whos: Who) -> Lessons:
    """A lesson that goes on, with some traffic in it."""
    watched.lessons.start(None, 60)
    learning = watched.lessons._watched[0].learning
    for number, who in enumerate(whos or (VAULT, NOBODY)):
        life = learning.begin(number, who, from_start=True)
        assert life is not None
        for request, answer in (
            failed("GPKM"),
            ok("RKLG", b"CHx;", b"ANY;"),
            ok("GPKM", b"AG1;", b"AG1;BBAB12;"),
            ok("ZZZ9"),
        ):
            learning.feed(life, exchange(request, answer))
    return watched.lessons


def test_what_was_seen_and_what_is_proposed(run: Run) -> None:
    watched = proxy()
    taught(watched)
    with admin_port(watched) as url:
        code, out, err = run(url, "--stop")
    assert (code, err) == (0, "")
    lines = [line.rstrip() for line in out.splitlines()]
    assert "group payments: 8 requests" in lines
    assert "  not in the catalogue: ZZZ9" in lines
    assert "  client vault-1 (abababababababab): 1 connections, 1 from their start" in lines
    assert "  client 10.0.0.9: 1 connections, 1 from their start" in lines
    assert "    GPKM  device, 2 requests: device_error x1, ok x1" in lines
    assert "          came first on 1 connections; as request 1 x1, 3 x1" in lines
    assert "          directly after RKLG x1" in lines
    assert "          answer: AG (decimal 1), BB (hex 2-8)" in lines
    assert "          AG repeated in 1 of 1 answers" in lines
    assert "          ERRO: AM 34 x1; AN AO x1" in lines
    assert "          request: CH (not looked at)" in lines
    proposed = "\n".join(line for line in lines[lines.index("groups:") : lines.index("group keys: 0 requests")])
    assert 'sessions: {login: [{command: RKLG, success: {tag: AN, value: "Y"}}' in proposed
    assert '- {match: {common_name: "vault-1"}, functions: {mode: detect, allow: [GPKM, RKLG, ZZZ9]}}' in proposed


def test_json_is_what_the_proxy_says(run: Run) -> None:
    watched = proxy()
    taught(watched)
    with admin_port(watched) as url:
        code, out, _ = run(url, "--stop", "--json")
        again = run(url, "--show", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["state"], found["requests"]) == ("done", 8)
    assert found["groups"]["payments"]["clients"][0]["codes"][0]["code"] == "GPKM"
    assert again == (0, out, "")


def test_it_watches_waits_and_prints(run: Run) -> None:
    with admin_port(proxy()) as url:
        code, out, err = run(url, "--for", "1s", "--group", "payments")
    assert code == 1  # nothing was seen
    assert "group payments: 0 requests" in out
    assert "group keys" not in out
    assert err == "watching payments for 1s; --stop ends it, --show prints it later\n"


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (("--show",), 1, "nothing was learned yet"),
        (("--stop",), 1, "nothing was learned yet"),
        (("--for", "10"), 2, "--for"),
        (("--for", "25h"), 1, "it takes from 1s to 24h"),
        (("--group", "spare"), 1, "there is no group spare"),
        (("--show", "--stop"), 2, "exclude each other"),
    ],
)
def test_mistakes(args: tuple[str, ...], code: int, text: str, run: Run) -> None:
    with admin_port(proxy()) as url:
        found, out, err = run(url, *args)
    assert (found, out) == (code, "")
    assert text in err


def test_a_lesson_of_somebody_else_is_not_disturbed(run: Run) -> None:
    watched = proxy()
    taught(watched)
    with admin_port(watched) as url:
        assert "somebody is learning already" in run(url)[2]
        code, out, err = run(url, "--show")
    assert (code, out) == (1, "")
    assert "somebody is still learning, for" in err


def test_a_lesson_that_somebody_else_replaced_is_not_taken_for_ours(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Remote.learn

    def replaced(self: Remote, duration: str, group: str | None) -> dict[str, object]:
        begun = asked(self, duration, group)
        self.stop_learning()
        asked(self, "5s", None)
        return begun

    monkeypatch.setattr(Remote, "learn", replaced)
    with admin_port(proxy()) as url:
        code, _, err = run(url, "--for", "2s")
    assert code == 1
    assert "somebody else began to learn" in err


def test_nobody_there_is_3(run: Run) -> None:
    assert run("http://127.0.0.1:1")[0] == 3


def test_a_certificates_name_cannot_steer_a_terminal(run: Run) -> None:
    watched = proxy()
    taught(watched, Who("\x1b[2Jevil\n", "sha256:" + "ab" * 32, None))
    with admin_port(watched) as url:
        _, out, _ = run(url, "--stop")
    assert "?[2Jevil?" in out
    assert "\x1b" not in out
