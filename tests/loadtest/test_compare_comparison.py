from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from loadtest.compare.command import find_guardian
from loadtest.compare.comparison import Plan, compare
from loadtest.compare.contenders import NotInstalledError
from loadtest.compare.cost import main
from loadtest.compare.haproxy import find_haproxy, haproxy_config
from loadtest.compare.ours import DeviceUse, guardian_config
from loadtest.compare.pki import Pki
from loadtest.native.programs import Load, Programs


@pytest.fixture
def haproxy() -> str:
    try:
        return find_haproxy()
    except NotInstalledError as exc:
        pytest.skip(str(exc))


def test_haproxy_finds_no_fault_in_its_configuration(haproxy: str, compare_pki: Pki, tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        devices = ["127.0.0.1:1", "127.0.0.1:2"]
        config.write_text(
            haproxy_config(descriptor=fd, folder=tmp_path, pki=compare_pki, devices=devices, connections=100)
        )
        command: list[str | Path] = [haproxy, "-c", "-f", config]
        checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, pass_fds=[fd])
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_our_configuration_says_how_devices_are_used(compare_pki: Pki) -> None:
    text = guardian_config(
        admin="127.0.0.1:9190",
        pki=compare_pki,
        devices=["127.0.0.1:1", "127.0.0.1:2"],
        use=DeviceUse(pipeline=64, connections=2),
    )
    assert text.count("connections: 2, pipeline: 64, outstanding: 128") == 2
    assert text.count("role: primary") == 1
    assert "block: [TIME, GPKD]" in text


def test_our_configuration_passes_the_check(compare_pki: Pki, tmp_path: Path) -> None:
    config = tmp_path / "guardian.yaml"
    use = DeviceUse(pipeline=1, connections=8)
    config.write_text(
        guardian_config(admin="127.0.0.1:9190", pki=compare_pki, devices=["127.0.0.1:1", "127.0.0.1:2"], use=use)
    )
    command: list[str | Path] = [find_guardian(), "check", config]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(("pipeline", "connections"), [(1, 8), (8, 8), (16, 4), (64, 1), (1000, 1)])
def test_deep_pipelines_need_few_connections(pipeline: int, connections: int) -> None:
    assert DeviceUse.of(pipeline) == DeviceUse(pipeline=pipeline, connections=connections)
    assert DeviceUse.of(pipeline, 3).connections == 3


@pytest.mark.usefixtures("haproxy")
def test_contenders_take_turns_and_every_answer_is_right(native_programs: Programs, tmp_path: Path) -> None:
    load = Load(addresses=(), clients=1, seconds=0.2, warmup=0.05)
    plan = Plan(
        clients=[4], rounds=2, load=load, devices=2, device_delay=0, direct=True, haproxy=True, uses=[DeviceUse.of(1)]
    )
    said: list[str] = []
    runs = compare(plan, native_programs, tmp_path, progress=said.append)
    assert [(run.round, run.contender) for run in runs] == [
        (1, "direct"), (1, "haproxy"), (1, "guardian 1x8"),
        (2, "direct"), (2, "haproxy"), (2, "guardian 1x8"),
    ]  # fmt: skip
    assert all(run.clean for run in runs)
    assert len(said) == 6
    for run in runs:
        assert (run.cost is None) == (run.contender == "direct")
        assert run.generator.used > 0


def test_a_missing_haproxy_names_the_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(*_arguments: object, **_options: object) -> None:
        return None

    monkeypatch.setattr("shutil.which", find_nothing)
    result = CliRunner().invoke(main, ["--only", "haproxy"])
    assert result.exit_code == 1
    assert "apt-get install haproxy" in result.output


@pytest.mark.parametrize(
    "options", [["--clients", "8,"], ["--clients", "0"], ["--pipeline", "1x0"], ["--pipeline", "x"]]
)
def test_wrong_options_are_refused(options: list[str]) -> None:
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 2
    assert "should be" in result.output
