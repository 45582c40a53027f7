"""Each kind of scenario once, for a moment, with the real programs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

import attrs
import pytest
from click.testing import CliRunner

from loadtest.compare.__main__ import main, measure_all
from loadtest.compare.command import find_guardian
from loadtest.compare.contenders import Contender, NotInstalledError
from loadtest.compare.haproxy import find_haproxy
from loadtest.compare.nginx import find_nginx, nginx_config
from loadtest.compare.ours import DeviceUse
from loadtest.compare.page import BEGIN, END
from loadtest.compare.pki import Pki
from loadtest.compare.processes import ProgramError
from loadtest.compare.scenarios import SCENARIOS, Scenario, interpreter, lost, memory
from loadtest.compare.stage import Stage
from loadtest.compare.targets import SAFE, TARGETS
from loadtest.compare.workshop import Effort, Workshop
from loadtest.native.programs import Programs
from tests.support.measured import RUN


@pytest.fixture
def workshop(native_programs: Programs, compare_pki: Pki, tmp_path: Path) -> Workshop:
    for find in (find_haproxy, find_nginx):
        try:
            find()
        except NotInstalledError as exc:
            pytest.skip(str(exc))
    effort = Effort(rounds=1, seconds=0.15, warmup=0.05, connections=8)
    return Workshop(
        programs=native_programs,
        folder=tmp_path,
        effort=effort,
        progress=lambda _: None,
        pkis={"ecdsa": compare_pki},
    )


@pytest.fixture
def _quickly_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another nginx in the place of Guardian, which takes a second to start: the scenario is what is tested."""

    def start(stage: Stage, pipeline: int = 1, *, connections: int = 0) -> Contender:
        folder = Path(mkdtemp(dir=stage.folder))  # a running nginx may not have read its configuration yet
        name = DeviceUse.of(pipeline, connections).name
        return attrs.evolve(attrs.evolve(stage, folder=folder).nginx(tickets=True), name=name)

    monkeypatch.setattr(Stage, "guardian", start)


def named(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def test_clients_that_log_in_are_measured_before_every_proxy(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.compare.scenarios.sessions.CLIENTS", 8)
    assert measure_all(workshop, [named("sessions")]), workshop.remarks
    assert workshop.readings.contenders(["cpu.sessions"]) == ["haproxy", "nginx", "guardian 1x8"]
    assert len(workshop.runs) == 3


@pytest.mark.usefixtures("_quickly_started")
@pytest.mark.parametrize("name", ["latency", "uneven", "connections", "handshakes", "memory"])
def test_a_scenario_measures_every_figure_of_every_proxy(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("loadtest.compare.scenarios.latency.SHARES", (50,))
    monkeypatch.setattr("loadtest.compare.scenarios.latency.CLIENTS", 8)
    monkeypatch.setattr("loadtest.compare.scenarios.handshakes.KEYS", {"ecdsa": "P-256"})
    monkeypatch.setattr(memory, "SETTLING", 0.1)
    scenario = named(name)
    assert measure_all(workshop, [scenario]), workshop.remarks
    measured = [figure.name for figure in scenario.figures if figure.name in workshop.readings]
    assert measured
    for figure in measured:
        judged = {target.contender for target in TARGETS if target.figure == figure}
        assert {"haproxy", "nginx", SAFE} | judged <= set(workshop.readings.contenders([figure]))
    assert not [remark for remark in workshop.remarks if "resumed" in remark], "sessions were resumed"


def test_requests_on_a_killed_device_are_lost_by_those_who_balance_connections(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost, "CLIENTS", 12)
    monkeypatch.setattr(lost, "AFTERWARDS", {"killed": 0.7})
    monkeypatch.setattr(lost, "_SIGNALS", {"killed": signal.SIGKILL})
    assert measure_all(workshop, [named("lost")]), workshop.remarks
    assert workshop.readings.values("lost.killed", "guardian 1x8")[1] == 0
    assert workshop.readings.values("lost.killed", "haproxy")[1] > 0


def test_a_run_with_errors_is_no_reading(native_programs: Programs, tmp_path: Path) -> None:
    workshop = Workshop(programs=native_programs, folder=tmp_path, effort=Effort.quick(), progress=lambda _: None)
    for turn, errors in ((1, 0), (2, 1)):
        workshop.read("cpu", attrs.evolve(RUN, contender="ours", round=turn, errors=errors), 5.0)
    workshop.read("cpu", attrs.evolve(RUN, contender="ours", round=3), None)
    assert workshop.readings.values("cpu", "ours") == {1: 5.0}


def test_who_fails_is_remarked_and_the_others_go_on(native_programs: Programs, tmp_path: Path) -> None:
    ran: list[str] = []

    def fail(_workshop: Workshop) -> None:
        raise ProgramError(f"nginx ended (exit code 1)\n  | first\n  | {tmp_path}/stage-1/nginx.conf is wrong")

    def run(_workshop: Workshop) -> None:
        ran.append("second")

    broken = attrs.evolve(SCENARIOS[0], run=fail)
    workshop = Workshop(programs=native_programs, folder=tmp_path, effort=Effort.quick(), progress=lambda _: None)
    assert not measure_all(workshop, [broken, attrs.evolve(SCENARIOS[1], run=run)])
    assert ran == ["second"]
    assert workshop.remarks == ["shared: not measured to the end: nginx ended (exit code 1): nginx.conf is wrong"]


def test_what_was_measured_is_written_between_the_marks(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert workshop.effort.rounds == 1

    def run(given: Workshop) -> None:
        for name, value in (("haproxy", 10.0), ("guardian 1x8", 12.0)):
            given.readings.add("cpu.sessions", name, 1, value)

    scenarios: Sequence[Scenario] = [attrs.evolve(named("sessions"), run=run)]
    monkeypatch.setattr("loadtest.compare.__main__.SCENARIOS", scenarios)
    page, file = tmp_path / "page.md", tmp_path / "page.json"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    result = CliRunner().invoke(main, ["--rows", "sessions", "--page", str(page), "--json", str(file)])
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "| at most 1.6 | 1.20     | met" in text
    assert "old" not in text
    assert '"value": 12.0' in file.read_text()


def test_a_row_that_there_is_not_is_refused() -> None:
    result = CliRunner().invoke(main, ["--rows", "shared,speed"])
    assert result.exit_code == 2
    assert "'speed' is none of shared, sessions" in result.output


def test_nginx_finds_no_fault_in_its_configuration(workshop: Workshop, tmp_path: Path) -> None:
    nginx = find_nginx()
    built = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True, timeout=60).stderr
    module = "" if "--with-stream" in built.split() else "load_module /usr/lib/nginx/modules/ngx_stream_module.so;"
    config = tmp_path / "nginx.conf"
    text = nginx_config(
        module=module, address="127.0.0.1:1", folder=tmp_path, pki=workshop.pki(), devices=["127.0.0.1:2"], workers=2,
        tickets=False,
    )  # fmt: skip
    config.write_text(text.replace("daemon off;", ""))
    command: list[str | Path] = [nginx, "-t", "-q", "-c", config, "-e", "stderr"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "worker_processes 2;" in text


def test_another_interpreter_of_the_same_version_runs_guardian() -> None:
    other = interpreter.find_other()
    if other is None:
        pytest.skip("there is no other interpreter of this version")
    command = [*interpreter.command_of(other.command), "--version"]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    ours = subprocess.run([find_guardian(), "--version"], capture_output=True, text=True, check=True, timeout=30)
    assert told.returncode == 0, told.stderr
    assert told.stdout == ours.stdout, "the same version, and the data path compiled where ours is"


def test_another_interpreter_is_not_ours_by_another_name(tmp_path: Path) -> None:
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    for place, text in (
        ("chooses", program),
        ("fails", "#!/bin/sh\nexit 1\n"),
        ("other", "#!/bin/sh\nprintf '/elsewhere\\n3.11.99\\n'\n"),
    ):
        (tmp_path / place).mkdir()
        (tmp_path / place / name).write_text(text)
        (tmp_path / place / name).chmod(0o755)
    assert interpreter.find_other([str(tmp_path / place) for place in ("nothing", "chooses", "fails")]) is None
    found = interpreter.find_other([str(tmp_path / place) for place in ("chooses", "fails", "other")])
    assert found == interpreter.Interpreter(tmp_path / "other" / name, "3.11.99")
