"""The `guardian` command as a process: exit codes, what is printed, and that no traceback is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import click
import pytest

from guardian import cli

GUARDIAN = [sys.executable, "-c", "from guardian.cli import main; main()"]


def guardian(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*GUARDIAN, *args], capture_output=True, text=True, timeout=30, check=False, env={**os.environ, **environment}
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_help_lists_every_command_and_loads_none() -> None:
    code = (
        "import sys; from guardian.cli import execute; execute(['--help']);"
        "heavy = {'importlib.metadata', 'attrs', 'http.client', 'rich', 'trio', 'yaml', "
        " 'cryptography', 'structlog', 'cattrs', 'h11', 'loadtest', 'guardian.commands'};"
        "print('loaded', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    for name in ("run", "check", "status", "device", "pki"):
        assert f"\n  {name} " in done.stdout
    assert done.stdout.endswith("loaded []\n")


def test_version() -> None:
    done = guardian("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "guardian")


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("nonsense",),
        ("--nonsense",),
        ("run",),
        ("check",),
        ("check", "a", "b"),
        ("device",),
        ("device", "explode", "a/b"),
        ("device", "drain"),
        ("device", "drain", "no-slash"),
        ("device", "drain", "a/b/c"),
        ("device", "drain", "a/b", "--timeout", "30"),
        ("status", "--admin", "nowhere"),
        ("status", "--admin", "http://[::1"),
        ("status", "--admin", "http://127.0.0.1:99999"),
        ("status", "--token-file", "/does/not/exist"),
        ("status", "--admin", "https://127.0.0.1:1", "--ca", "/does/not/exist"),
    ],
)
def test_wrong_usage_is_2(args: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute(list(args)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Usage" in printed.err


def test_the_process_ends_with_the_code_of_the_command() -> None:
    assert guardian("nonsense").returncode == 2


def test_nobody_there_is_3_and_says_what_to_do() -> None:
    done = guardian("status", "--admin", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (3, "")
    assert "http://127.0.0.1:1" in done.stderr
    assert "guardian run" in done.stderr


def test_the_address_may_come_from_the_environment() -> None:
    done = guardian("status", GUARDIAN_ADMIN="http://127.0.0.1:2")
    assert (done.returncode, "127.0.0.1:2" in done.stderr) == (3, True)


def test_check_of_a_missing_file_is_1() -> None:
    done = guardian("check", "/does/not/exist.yaml")
    assert done.returncode == 1
    assert "/does/not/exist.yaml" in done.stdout


def test_check_prints_every_problem_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "guardian.yaml"
    file.write_text("listeners: []\nnonsense: 1\n")
    done = guardian("check", str(file))
    assert done.returncode == 1
    assert f"{file}:2: nonsense: " in done.stdout


GOOD = """\
listeners:
  - {name: excrypt, bind: "127.0.0.1:9100", group: payments, tls: {mode: clear}}
groups:
  - name: payments
    tls: {mode: clear}
    devices:
      - {name: hsm1, address: "127.0.0.1:9101", role: primary}
"""


def test_check_says_fine_and_what_it_read(tmp_path: Path) -> None:
    file = tmp_path / "guardian.yaml"
    file.write_text(GOOD)
    done = guardian("check", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    last = done.stdout.splitlines()[-1]
    assert last == f"{file}: fine: 1 listener, 1 group, 1 device; 0 files it names read"


def test_check_says_which_limits_the_workers_of_this_machine_cannot_keep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "guardian.yaml"
    file.write_text(GOOD.replace("role: primary", "role: primary, connections: 2") + "workers: auto\n")
    for cores, warned in ((3, True), (2, False)):
        monkeypatch.setattr("guardian.workers.cores.worker_count", lambda _workers, cores=cores: cores)
        assert cli.execute(["check", str(file)]) == 0
        said = capsys.readouterr().out
        key = (
            f"{file}:1: groups.payments.devices.hsm1.connections: is 2, must be at least 3 to be kept by the 3 workers"
        )
        assert (key in said) is warned, said


def test_check_prints_the_schema_for_editors(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute(["check", "--schema"]) == 0
    assert "listeners" in json.loads(capsys.readouterr().out)["$defs"]["Config"]["properties"]


def test_check_finds_a_damaged_write_journal(tmp_path: Path) -> None:
    file, journal = tmp_path / "guardian.yaml", tmp_path / "writes.journal"
    file.write_text(GOOD.replace("    devices:", "    writes: {journal: writes.journal}\n    devices:"))
    assert guardian("check", str(file)).returncode == 0
    assert not journal.exists()
    journal.write_text('{"journal":1,"salt":"00"}\nhunter2\n')
    done = guardian("check", str(file))
    assert done.returncode == 1
    assert f"{file}:1: groups.payments.writes.journal: names {journal}: line 2 is no record" in done.stdout
    assert "hunter2" not in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        [*GUARDIAN, "--help"],
        [sys.executable, "-c", "import sys; from guardian import console; sys.stdout.write('x'); console.flush()"],
    ],
)
def test_a_reader_that_leaves_early_is_no_error(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    try:
        done = subprocess.run(
            command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=30, check=False, env=buffered
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_left_does_not_change_the_verdict(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*GUARDIAN, "check", str(tmp_path / "none")], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=30,
            check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_closed_standard_streams_are_no_fault() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", *GUARDIAN, "status", "--admin", "http://127.0.0.1:1"],
        timeout=30,
        check=False,
    )
    assert done.returncode == 3


def test_ctrl_c_is_130_without_a_traceback(tmp_path: Path) -> None:
    fifo = tmp_path / "never-written"
    os.mkfifo(fifo)
    running = subprocess.Popen(
        [*GUARDIAN, "status", "--token-file", str(fifo)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - who runs the tests may ignore it
    )
    deadline = time.monotonic() + 60
    writer = -1
    while writer < 0:  # it reads: the command is in the middle of its work
        assert time.monotonic() < deadline
        with suppress(OSError):
            writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    os.close(writer)
    assert (running.returncode, out, err) == (130, "", "guardian: interrupted\n")


def point(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setattr(cli, "_entry_points", lambda: {"extra": value})


def test_commands_of_other_packages_come_by_entry_point(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("guardian_test_extra")

    @click.command()
    def extra() -> None:
        click.echo("extra ran")

    module.extra = extra  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    point(monkeypatch, "guardian_test_extra:extra")
    assert cli.execute(["extra"]) == 0
    assert capsys.readouterr().out == "extra ran\n"
    assert cli.execute(["--help"]) == 0
    assert "\n  extra" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["does.not.exist:x", "guardian.cli:nothing", "guardian.cli:COMMANDS"])
def test_a_command_that_cannot_be_loaded_is_a_clear_error(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    point(monkeypatch, value)
    assert cli.execute(["extra"]) == 1
    printed = capsys.readouterr()
    assert "cannot be loaded" in printed.err or "is no command" in printed.err
    assert value.partition(":")[0] in printed.err
    assert cli.execute(["--help"]) == 0  # nor does it spoil the others' help


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (RuntimeError("first line\nsecond line"), 1, "RuntimeError: first line second line"),
        (RuntimeError(), 1, "RuntimeError"),
        (FileNotFoundError(2, "No such file", "a.yaml"), 1, "a.yaml: No such file"),
        (OSError(98, "Address already in use"), 1, "Address already in use"),
        (ExceptionGroup("tasks", [ValueError("one"), OSError(1, "two")]), 1, "ValueError: one; two"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BaseExceptionGroup("tasks", [KeyboardInterrupt()]), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
        (click.ClickException("so it is"), 1, "so it is"),
    ],
)
def test_whatever_a_command_raises_is_one_line(
    fault: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def extra() -> None:
        raise fault

    monkeypatch.setitem(sys.modules, "guardian_test_extra", ModuleType("guardian_test_extra"))
    sys.modules["guardian_test_extra"].extra = extra  # type: ignore[attr-defined]
    point(monkeypatch, "guardian_test_extra:extra")
    assert cli.execute(["extra"]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.removesuffix(" (GUARDIAN_DEBUG=1 shows where)") == f"guardian: {said}"
