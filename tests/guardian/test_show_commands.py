"""`guardian show`, `tail` and `reload` against an admin port with a fake proxy behind it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from balancer.snapshot import CommandSnapshot
from config.diff import Changes
from config.loader import Loaded, load
from config.model import Config
from config.problems import Problem
from guardian.commands.tail import text
from guardian.completions import Completions, Observe
from guardian.connected import ClientView, SessionView
from guardian.events import Actor
from guardian.reloading import ReloadResult
from guardian.remote import Remote
from tests.guardian.test_client import Talk, ask
from tests.guardian.test_commands import Run, admin_port, run
from tests.support import operable
from tests.support.configs import EXAMPLE
from tests.support.operable import FakeProxy

__all__ = ["run"]
FINGERPRINT = "sha256:" + "0123456789abcdef" * 4
CLIENT = ClientView("vault-1", FINGERPRINT, "192.0.2.9", "excrypt", "payments", "session", 1_790_000_000.0, 2, 12_345)
SESSION = SessionView("payments", "vault-1", FINGERPRINT, 3, {"hsm2": 1, "hsm1": 2}, 0, 1_790_000_000.0)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def show(run: Run, what: str, *options: str, proxy: FakeProxy | None = None) -> tuple[list[list[str]], Any]:
    """The table as rows of cells, and the JSON."""
    with admin_port(proxy or FakeProxy()) as url:
        code, out, err = run(url, "show", what, *options)
        assert (code, err) == (0, "")
        as_json = json.loads(run(url, "show", what, "--json", *options)[1])
    return [cells(line) for line in out.splitlines()], as_json


def test_groups(run: Run) -> None:
    rows, found = show(run, "groups")
    assert rows[1][:4] == ["payments", "hsm", "2/2", "2"]
    assert dict(zip(rows[0], rows[1], strict=True))["REFUSED"] == str(sum(range(3, 11)))
    assert (found["groups"][0]["serving"], found["groups"][0]["configured"]) == (2, 2)


def test_devices_of_one_group(run: Run) -> None:
    proxy = FakeProxy(operable.proxy(operable.group("payments"), operable.group("issuing")))
    rows, found = show(run, "devices", "--group", "issuing", proxy=proxy)
    assert [row[0] for row in rows] == ["DEVICE", "issuing/hsm1", "issuing/hsm2"]
    assert dict(zip(rows[0], rows[1], strict=False))["OUTSTANDING"] == "3/32"
    assert {device["group"] for device in found["devices"]} == {"issuing"}


def test_clients_the_busiest_first_and_no_more_than_asked_for(run: Run) -> None:
    proxy = FakeProxy()
    idle = CLIENT._replace(name=None, fingerprint=None, outstanding=0)
    proxy.clients = [idle, CLIENT, idle._replace(listener="other", name="vault-2")]
    rows, found = show(run, "clients", proxy=proxy)
    assert rows[1][:8] == [
        "vault-1", "sha256:0123456789ab", "192.0.2.9", "excrypt", "payments", "session", "2", "12,345",
    ]  # fmt: skip
    assert rows[2][:2] == ["-", "-"]
    assert (found["total"], len(found["clients"])) == (3, 3)
    assert found["clients"][0] == {
        "name": "vault-1", "fingerprint": FINGERPRINT, "address": "192.0.2.9", "listener": "excrypt",
        "group": "payments", "kind": "session", "since": "2026-09-21T14:13:20.000Z", "outstanding": 2,
        "requests": 12345,
    }  # fmt: skip
    rows, found = show(run, "clients", "--limit", "1", proxy=proxy)
    assert rows[-1] == ["1 of 3; --limit shows more"]
    rows, _ = show(run, "clients", "--listener", "other", proxy=proxy)
    assert [row[0] for row in rows[1:]] == ["vault-2"]


def test_many_clients_are_written_whole(run: Run) -> None:
    proxy = FakeProxy()
    proxy.clients = [CLIENT._replace(requests=number) for number in range(1_001)]
    _, found = show(run, "clients", "--limit", "10000", proxy=proxy)
    assert [client["requests"] for client in found["clients"]] == list(range(1_000, -1, -1))


def test_sessions(run: Run) -> None:
    proxy = FakeProxy()
    assert show(run, "sessions", proxy=proxy)[0] == [["none"]]
    proxy.sessions = [SESSION]
    rows, found = show(run, "sessions", proxy=proxy)
    assert rows[1][:5] == ["vault-1", "sha256:0123456789ab", "payments", "3", "0"]
    assert rows[1][-1] == "hsm1 2, hsm2 1"
    assert found["sessions"][0]["connections"] == {"hsm1": 2, "hsm2": 1}


@pytest.mark.parametrize(
    ("options", "first"), [((), "SLOW"), (("--by", "refused"), "BAD"), (("--by", "requests"), "MUCH")]
)
def test_commands_in_the_order_asked_for(run: Run, options: tuple[str, ...], first: str) -> None:
    commands = (
        CommandSnapshot(command="MUCH", outcomes={"ok": 9000}, duration=operable.histogram(0.001)),
        CommandSnapshot(command="BAD", outcomes={"ok": 1, "blocked": 5}, duration=operable.histogram(0.001)),
        CommandSnapshot(command="SLOW", outcomes={"ok": 1, "device_error": 2}, duration=operable.histogram(0.9)),
    )
    proxy = FakeProxy(operable.proxy(operable.group(commands=commands)))
    rows, found = show(run, "commands", *options, proxy=proxy)
    assert rows[1][1] == first
    bad = next(row for row in rows if row[1] == "BAD")
    assert (bad[2], bad[-2], bad[-1]) == ("6", "5", "blocked 5")
    assert len(found["commands"]) == 3


def test_certificates_the_next_to_end_first(run: Run) -> None:
    proxy = FakeProxy(operable.proxy(certificates={"/x/late.crt": 1_900_000_000.0, "/x/gone.crt": 1_700_000_000.0}))
    rows, found = show(run, "certificates", proxy=proxy)
    assert rows[1] == ["2023-11-14 22:13 UTC", "expired", "/x/gone.crt", "-"]
    assert rows[2][0] == "2030-03-17 17:46 UTC"
    assert rows[3] == ["1 within 30 days"]
    assert [each["file"] for each in found["certificates"]] == ["/x/gone.crt", "/x/late.crt"]


class FakeReloading:
    """Gives the result it is told to, and notes what it was asked."""

    def __init__(self, file: Path, loaded: Loaded, result: ReloadResult | None = None) -> None:
        self.file = file
        self.loaded = loaded
        self.asked: list[tuple[str, bool]] = []
        self._result = result

    @property
    def loaded_at(self) -> datetime:
        return datetime(2026, 9, 21, tzinfo=UTC)

    async def reload(self, by: Actor, *, dry_run: bool = False) -> ReloadResult:
        self.asked.append((by.source, dry_run))
        assert self._result is not None
        return attrs.evolve(self._result, dry_run=dry_run)


def test_the_configuration_without_values_of_the_environment(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text(EXAMPLE.replace("bind: 0.0.0.0:9100", 'bind: "${env:CANARY}"'))
    loaded = load(path, environment={"CANARY": "198.51.100.77:9100"})
    assert loaded.config is not None
    assert loaded.config.listeners[0].bind.host == "198.51.100.77"
    proxy = FakeProxy()
    proxy.reloading = FakeReloading(path, loaded)  # type: ignore[assignment]
    with admin_port(proxy) as url:
        code, out, _ = run(url, "show", "config")
        as_json = run(url, "show", "config", "--json")[1]
    assert code == 0
    assert out.startswith(f"# {path}, read 2026-09-21T00:00:00.000Z\nlisteners:\n")
    assert "bind: ${env:CANARY}\n" in out
    assert "198.51.100.77" not in out + as_json
    assert json.loads(as_json)["config"]["listeners"][0]["limits"]["message"] == "256KiB"


def test_a_proxy_without_a_file_says_so(run: Run) -> None:
    with admin_port(FakeProxy()) as url:
        for command in (("show", "config"), ("reload",), ("reload", "--dry-run")):
            code, out, err = run(url, *command)
            assert (code, out) == (1, "")
            assert "does not run on a file" in err


CHANGED = ReloadResult(
    file=Path("/etc/guardian.yaml"), dry_run=False, changes=Changes(groups_added=("issuing",), fields=("workers",))
)
WRONG = ReloadResult(
    file=Path("/etc/guardian.yaml"),
    dry_run=False,
    reason="the configuration has errors",
    problems=(Problem(file="/etc/guardian.yaml", line=7, path="groups", message="is empty"),),
)


def reloading(result: ReloadResult, tmp_path: Path) -> tuple[FakeProxy, FakeReloading]:
    proxy, fake = FakeProxy(), FakeReloading(tmp_path, Loaded(config=None, problems=()), result)
    proxy.reloading = fake  # type: ignore[assignment]
    return proxy, fake


def test_reload_says_what_is_live_and_what_needs_a_restart(run: Run, tmp_path: Path) -> None:
    proxy, fake = reloading(CHANGED, tmp_path)
    with admin_port(proxy) as url:
        assert run(url, "reload", "--dry-run")[:2] == (
            0, "would be live at once:\n  group issuing: added\nneeds a restart:\n  workers\n",
        )  # fmt: skip
        code, out, _ = run(url, "reload")
        found = json.loads(run(url, "reload", "--json")[1])
    assert (code, out.splitlines()[0], out.splitlines()[-1]) == (
        0, "is live at once:", "reloaded /etc/guardian.yaml",
    )  # fmt: skip
    assert (found["result"], found["needs_restart"]) == ("ok", ["workers"])
    assert fake.asked == [("127.0.0.1", True), ("127.0.0.1", False), ("127.0.0.1", False)]


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_wrong_file_is_1_with_its_lines(run: Run, tmp_path: Path, options: tuple[str, ...]) -> None:
    with admin_port(reloading(WRONG, tmp_path)[0]) as url:
        code, out, err = run(url, "reload", *options)
    assert (code, err) == (1, "")
    assert out.splitlines()[0] == "/etc/guardian.yaml:7: groups: is empty"
    assert "the configuration that runs stays" in out


class BusyCompletions(Completions):
    """There are requests as soon as somebody watches."""

    def __init__(self, talk: Talk, requests: int) -> None:
        super().__init__(lambda: {"payments": talk.group.group}, talk.group.group.clock)
        self._talk = talk
        self._requests = requests
        self.ended = 0

    def watch(self, observe: Observe, group: str | None = None) -> Callable[[], None]:
        end = super().watch(observe, group)
        for number in range(self._requests):
            self._talk.say(ask(number))
            self._talk.answer(ask(number))
        self._talk.say(b"[AOGPKD;AGCanary;]")

        def ended() -> None:
            self.ended += 1
            end()

        return ended


def busy(requests: int) -> tuple[FakeProxy, BusyCompletions]:
    proxy, talk = FakeProxy(), Talk()
    proxy.config = Config(listeners=(), groups=(talk.group.group.settings,))
    proxy.completions = completions = BusyCompletions(talk, requests)
    return proxy, completions


def test_tail_ends_after_so_many(run: Run) -> None:
    proxy, completions = busy(5)
    with admin_port(proxy) as url:
        code, out, err = run(url, "tail", "--count", "3")
    assert (code, err) == (0, "")
    assert [cells(line)[1:5] for line in out.splitlines()] == [
        ["CLIENT", "CMD", "DEVICE", "OUTCOME"], *[["-", "ECHO", "payments/a", "ok"]] * 3,
    ]  # fmt: skip
    assert completions.ended == 1
    assert completions._talk.group.group.observer is None


def test_tail_as_json_of_what_was_asked_for(run: Run) -> None:
    with admin_port(busy(5)[0]) as url:
        code, out, _ = run(url, "tail", "--outcome", "blocked", "--group", "payments", "--count", "1", "--json")
    line = json.loads(out)
    assert (code, line["command"], line["outcome"], line["device"]) == (0, "GPKD", "blocked", None)
    assert "Canary" not in out


def test_tail_says_how_many_it_could_not_show() -> None:
    with admin_port(busy(5000)[0]) as url:
        told = [
            line for line in itertools.takewhile(lambda line: line != {"lost": 905}, Remote(admin=url).tail()) if line
        ]
    assert len(told) == 4096
    assert "... 905 more" in text({"lost": 905})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--outcome", "fine"), "no outcome 'fine'; there are ok, device_error"),
        (("--slower", "50"), "a duration needs its unit"),
        (("--group", "spare"), "no group 'spare'"),
    ],
)
def test_tail_refuses_what_cannot_be(run: Run, options: tuple[str, ...], said: str) -> None:
    with admin_port(busy(0)[0]) as url:
        code, out, err = run(url, "tail", *options)
    assert (code, out) == (1, "")
    assert said in err
