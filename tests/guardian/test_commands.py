"""`guardian status` and `guardian device` against an admin port with a fake proxy behind it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
import structlog
import trio

from balancer.snapshot import ProxyState, Will
from config.model import Admin, Bind, Role, UnixBind
from guardian.cli import execute
from guardian.remote import remote_for
from health.state import Health
from tests.support import operable
from tests.support.admin_port import LOOPBACK, serving_at
from tests.support.operable import FakeProxy


@contextmanager
def admin_port(proxy: FakeProxy, admin: Admin = LOOPBACK) -> Iterator[str]:
    """An admin port in a thread of its own, since commands block; gives its URL."""
    ready: list[tuple[Bind | UnixBind, trio.lowlevel.TrioToken, trio.Event]] = []
    started = threading.Event()

    async def main() -> None:
        async with serving_at(admin, proxy) as bound:
            stop = trio.Event()
            ready.append((bound, trio.lowlevel.current_trio_token(), stop))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    assert started.wait(60)
    bound, token, stop = ready[0]
    try:
        with structlog.testing.capture_logs():
            yield f"http://{bound}" if isinstance(bound, Bind) else str(bound)
    finally:
        token.run_sync_soon(stop.set)
        thread.join(10)


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs one command line in this process: exit code, stdout, stderr."""

    def run_it(url: str, *args: str) -> tuple[int, str, str]:
        monkeypatch.setenv("GUARDIAN_ADMIN", url)
        code = execute(list(args))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run_it


def test_status_says_how_many_workers_run_where_there_are_several(run: Run) -> None:
    both = operable.proxy(workers=(operable.worker(1), operable.worker(2)))
    with admin_port(FakeProxy(both)) as url:
        assert run(url, "status")[1].splitlines()[0] == "proxy serving, 2 of 2 workers"
    one = operable.proxy(workers=(operable.worker(1), operable.worker(2, up=False)))
    with admin_port(FakeProxy(one)) as url:
        assert run(url, "status")[1].splitlines()[0] == "proxy serving, 1 of 2 workers (not running: 2)"


def test_status_is_an_aligned_table(run: Run) -> None:
    devices = (
        operable.device("hsm1", role=Role.PRIMARY),
        operable.device("a-longer-name", health=Health.EJECTED, in_service=False, reason="5 failures in a row"),
        operable.device("spare", role=Role.BACKUP, recent=operable.histogram(), in_service=False),
    )
    with admin_port(FakeProxy(operable.proxy(operable.group("payments", *devices)))) as url:
        code, out, err = run(url, "status")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "proxy serving"
    assert lines[1] == "listener excrypt on 127.0.0.1:9100: 13 clients"
    assert lines[3] == "group payments: 1 of 3 devices in service, 2 queued"
    heading, first, second, third = lines[4:8]
    for column, cells in {
        "ROLE": ("primary", "production", "backup"),
        "HEALTH": ("up", "ejected", "up"),
        "SERVES": ("yes", "no", "no"),
    }.items():
        at = heading.index(column)
        assert tuple(line[at:].split()[0] for line in (first, second, third)) == cells
    assert second.endswith("  5 failures in a row")
    assert heading.index("P99 MS") + len("P99 MS") == first.index(first.split()[9]) + len(first.split()[9])
    assert third.split()[8:10] == ["-", "-"]
    assert "\x1b" not in out


def test_a_socket_in_the_file_system_will_do(run: Run, tmp_path: Path) -> None:
    proxy = FakeProxy()
    with admin_port(proxy, Admin(bind=UnixBind(path=tmp_path / "a.sock"))) as url:
        assert url == f"unix:{tmp_path}/a.sock"
        assert run(url, "status")[0] == 0
        assert run(url, "device", "drain", "payments/hsm1")[0] == 0
    assert proxy.told == [("payments", "hsm1", Will.DRAIN)]
    code, _, err = run(url, "status")
    assert (code, "cannot reach the proxy at unix:" in err) == (3, True)


def test_status_as_json_is_what_the_proxy_says(run: Run) -> None:
    with admin_port(FakeProxy()) as url:
        code, out, _ = run(url, "status", "--json")
    assert code == 0
    assert json.loads(out)["groups"][0]["devices"][0]["name"] == "hsm1"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_group_without_a_usable_device_is_1(run: Run, options: tuple[str, ...]) -> None:
    idle = operable.group("idle", operable.device(in_service=False))
    with admin_port(FakeProxy(operable.proxy(operable.group(), idle))) as url:
        code, out, _ = run(url, "status", *options)
    assert code == 1
    assert "idle" in out


def test_while_it_starts_it_is_1_though_no_group_is_known(run: Run) -> None:
    starting = operable.proxy(state=ProxyState.STARTING, workers=(operable.worker(1, up=False),))
    with admin_port(FakeProxy(attrs.evolve(starting, groups=()))) as url:
        assert run(url, "status")[0] == 1


def test_what_a_device_says_cannot_steer_a_terminal(run: Run) -> None:
    nasty = operable.device(reason="\x1b[2J\x07gone")
    with admin_port(FakeProxy(operable.proxy(operable.group("payments", nasty)))) as url:
        _, out, _ = run(url, "status")
    assert "?[2J?gone" in out


@pytest.mark.parametrize("will", Will)
def test_device_tells_the_proxy(run: Run, will: Will) -> None:
    proxy = FakeProxy()
    with admin_port(proxy) as url:
        code, out, _ = run(url, "device", will.value, "payments/hsm1")
    assert (code, out) == (0, f"payments/hsm1: {will.value}\n")
    assert proxy.told == [("payments", "hsm1", will)]


@pytest.mark.parametrize(("will", "device", "said"), [
    ("drain", "hsm1", True), ("maint", "hsm1", True), ("ready", "hsm1", False), ("drain", "hsm2", False),
])  # fmt: skip
def test_without_the_primary_writes_are_refused_which_is_said(run: Run, will: str, device: str, said: bool) -> None:
    with admin_port(FakeProxy()) as url:
        code, out, err = run(url, "device", will, f"payments/{device}")
    assert (code, out) == (0, f"payments/{device}: {will}\n")
    assert err.startswith("payments/hsm1 is the primary: until it is ready again writes get 902") == said == bool(err)


def test_an_unknown_device_is_1_by_name(run: Run) -> None:
    with admin_port(FakeProxy()) as url:
        code, _, err = run(url, "device", "drain", "payments/hsm9")
    assert code == 1
    assert "there is no device hsm9 in a group payments" in err


def after(looks: int, **changes: object) -> Callable[[FakeProxy], None]:
    """Changes hsm1 once the status was looked at so often."""

    def react(proxy: FakeProxy) -> None:
        if proxy.shown == looks:
            proxy.change("hsm1", **changes)

    return react


NOT_IN_SERVICE = {"in_service": False, "health": Health.DOWN, "reason": "connection refused"}


@pytest.mark.parametrize(
    ("will", "before", "step", "final"),
    [
        ("drain", {}, {"outstanding": 0}, {"outstanding": 0, "connections": {"idle": 4, "private": 0}}),
        ("ready", NOT_IN_SERVICE, {"in_service": True}, {"health": Health.PROBATION, "in_service": True}),
        ("ready", {**NOT_IN_SERVICE, "role": Role.BACKUP}, {"health": Health.PROBATION}, {"health": Health.UP}),
        ("maint", {}, {"outstanding": 0, "connections": {"idle": 1}}, {"connections": {"idle": 0}}),
    ],
)
def test_wait_ends_when_it_is_so_and_not_before(
    run: Run, will: str, before: dict[str, object], step: dict[str, object], final: dict[str, object]
) -> None:
    proxy = FakeProxy(operable.proxy(operable.group("payments", operable.device("hsm1", **before))))
    with admin_port(proxy) as url:
        proxy._react = after(2, **step)
        code, _, err = run(url, "device", will, "payments/hsm1", "--wait", "--timeout", "500ms")
        assert code == 1, "half of it is not enough"
        assert "after 0.5 s" in err
        proxy.shown, proxy._react = 0, after(3, **final)
        code, out, _ = run(url, "device", will, "payments/hsm1", "--wait", "--timeout", "10s")
    assert (code, out) == (0, f"payments/hsm1: {will}, done\n")
    assert proxy.shown >= 4


@pytest.mark.parametrize(
    ("will", "before", "said"),
    [
        ("drain", {}, "3 outstanding and 1 on connections of pinned clients"),
        ("drain", {"outstanding": 0}, "there are still 1 on connections of pinned clients"),
        ("drain", {"connections": {}}, "there are still 3 outstanding"),
        ("ready", NOT_IN_SERVICE, "its health is down (connection refused)"),
        ("ready", {**NOT_IN_SERVICE, "in_service": True}, "its health is down (connection refused)"),
        ("maint", {}, "there are still 9 connections to it"),
    ],
)
def test_when_the_time_is_over_it_says_what_is_missing(
    run: Run, will: str, before: dict[str, object], said: str
) -> None:
    proxy = FakeProxy(operable.proxy(operable.group("payments", operable.device("hsm1", **before))))
    with admin_port(proxy) as url:
        code, _, err = run(url, "device", will, "payments/hsm1", "--wait", "--timeout", "1ms")
    assert code == 1
    assert said in err


def test_several_are_told_and_waited_for_together(run: Run) -> None:
    proxy = FakeProxy(react=after(5, outstanding=0, connections={}))
    proxy.change("hsm2", outstanding=0, connections={})
    with admin_port(proxy) as url:
        code, out, _ = run(url, "device", "drain", "payments/hsm1", "payments/hsm2", "payments/hsm1", "--wait")
    assert (code, out) == (0, "payments/hsm2: drain, done\npayments/hsm1: drain, done\n")
    assert proxy.told == [("payments", "hsm1", Will.DRAIN), ("payments", "hsm2", Will.DRAIN)]


def test_of_several_none_is_told_where_one_does_not_exist(run: Run) -> None:
    proxy = FakeProxy()
    with admin_port(proxy) as url:
        code, _, err = run(url, "device", "drain", "payments/hsm1", "payments/hsm9")
    assert (code, proxy.told) == (1, [])
    assert "payments/hsm9 is not in the configuration" in err


def test_what_takes_longer_than_a_second_says_what_is_missing(run: Run) -> None:
    with admin_port(FakeProxy()) as url:
        code, out, err = run(url, "device", "drain", "payments/hsm2", "--wait", "--timeout", "1500ms")
    assert (code, out) == (1, "")
    first, last = err.splitlines()
    assert first == "1 of 1.5 s: payments/hsm2: there are still 3 outstanding and 1 on connections of pinned clients"
    assert last.startswith("guardian: ") or "drain is set, but after 1.5 s" in last


def test_wait_notices_that_somebody_wants_otherwise(run: Run) -> None:
    proxy = FakeProxy(react=after(2, will=Will.READY))
    with admin_port(proxy) as url:
        code, _, err = run(url, "device", "drain", "payments/hsm1", "--wait")
    assert code == 1
    assert "somebody else set it to ready" in err


def test_a_token_is_sent_from_a_file_and_never_shown(run: Run, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret-canary\n")
    wrong = tmp_path / "wrong"
    wrong.write_text("other-canary")
    with admin_port(FakeProxy(), Admin(bind=LOOPBACK.bind, token_file=token)) as url:
        assert run(url, "status", "--token-file", str(token))[0] == 0
        for options in ((), ("--token-file", str(wrong))):
            code, out, err = run(url, "status", *options)
            assert (code, out) == (1, "")
            assert "GUARDIAN_TOKEN_FILE" in err
            assert "canary" not in err


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"groups":[1]}',
        b'HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n{"groups":[{"name":"g","devices":[null]}]}',
        b'HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{"groups":[{"name":"g","devices":null}]}',
        b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"groups":[{"name":"g","devices":[{"name":"d"}]}]}',
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"[AOERRO;AM906;]",
        b"",
    ],
)
def test_something_else_at_that_address_is_3(run: Run, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        code, _, err = run(f"http://127.0.0.1:{listener.getsockname()[1]}", "status")
        thread.join(10)
    assert code == 3
    assert "127.0.0.1" in err


@pytest.mark.parametrize("command", [("status",), ("tail",), ("show", "clients")])
def test_a_name_that_dns_cannot_have_is_3(run: Run, command: tuple[str, ...]) -> None:
    code, out, err = run("http://a..b:9190", *command)
    assert (code, out) == (3, "")
    assert "cannot reach the proxy at http://a..b:9190" in err


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("http://proxy.invalid:9190", 2),
        ("HTTP://192.0.2.1:9190", 2),
        ("http://127.0.0.1:1", 3),
        ("http://localhost:1", 3),
        ("http://[::1]:1", 3),
        ("HTTPS://127.0.0.1:1", 3),
        ("unix:/nowhere/admin.sock", 3),
    ],
)
def test_a_token_does_not_leave_the_machine_in_the_clear(run: Run, tmp_path: Path, address: str, code: int) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret-canary")
    exit_code, _, err = run(address, "status", "--token-file", str(token))
    assert (exit_code, "use https, or unix:" in err, "canary" in err) == (code, code == 2, False)


def test_https_is_that_however_it_is_written() -> None:
    assert remote_for("HTTPS://127.0.0.1:1", None, None, None, None).tls is not None


def test_status_into_a_closed_pipe_keeps_its_verdict() -> None:
    idle = operable.proxy(operable.group("idle", operable.device(in_service=False)))
    with admin_port(FakeProxy(idle)) as url:
        guardian = f'{sys.executable} -c "from guardian.cli import main; main()"'
        done = subprocess.run(
            ["bash", "-c", f"{{ {guardian} status --admin {url}; echo verdict $? >&2; }} | true"],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.stderr == "verdict 1\n"
