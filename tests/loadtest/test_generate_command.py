"""The load generator as its user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from loadtest.compare.pki import Pki, make_pki
from loadtest.compare.processes import Processes
from tests.support.native_load import build_or_skip

TIMEOUT = 60  # seconds


@pytest.fixture(scope="module")
def load_pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki") / "pki")


@pytest.fixture
def echo_address(load_pki: Pki, tmp_path: Path) -> Iterator[str]:
    programs = build_or_skip()
    with Processes(tmp_path) as processes:
        device = processes.start("device", [programs.echo_device, *load_pki.device.options()])
        yield device.first_line(timeout=20)


def generate(*options: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", "loadtest.generate", *map(str, options)],
        env={**os.environ, "PYTHONPATH": str(root), "NO_COLOR": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def test_two_processes_load_a_device_over_mutual_tls_and_report(
    echo_address: str, load_pki: Pki, tmp_path: Path
) -> None:
    (tmp_path / "scenario.yaml").write_text(
        f"""\
target: [{echo_address}]
tls: {{certificate: {load_pki.client.certificate}, key: {load_pki.client.key}, ca: [{load_pki.client.ca}]}}
processes: 2
arrivals: poisson
mix:
  - {{command: ECHO, weight: 3, size: 64, size_to: 300}}
  - {{command: RAND}}
echo: true
phases:
  - {{duration: 500ms, rate: 50/s, measured: false}}
  - {{duration: 1s, rate: 50/s, to_rate: 250/s, burst: 20, every: 500ms}}
""",
    )
    done = generate("scenario.yaml", "--require", "errors<0.1%", "--late", "1s", "-o", "run", folder=tmp_path)
    told = json.loads((tmp_path / "run.json").read_text())
    requests, generator = told["requests"], told["generator"]
    assert done.returncode == (1 if generator["bottleneck"] else 0), done.stdout + done.stderr
    assert requests["failed"] == 0
    assert requests["answered"] == requests["sent"] == requests["arrived"]
    assert 120 <= requests["answered"] <= 280, "190 on average"
    assert set(told["commands"]) == {"ECHO", "RAND"}
    assert len(generator["busy"]) == 2
    assert sum(second["answered"] for second in told["seconds"]) == requests["answered"]
    assert {"processor", "cores", "python", "openssl"} <= set(told["machine"])
    assert (tmp_path / "run.txt").read_text() == done.stdout
    assert "met      errors < 0.1%" in done.stdout
    drawing = ElementTree.fromstring((tmp_path / "run.svg").read_text())
    assert drawing.tag.endswith("svg")


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_nobody_there_is_said_in_a_line(quiet: tuple[str, ...], tmp_path: Path) -> None:
    done = generate("--connect", "127.0.0.1:1", "--tls", "clear", "--rate", "10", *quiet, folder=tmp_path)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "cannot reach 127.0.0.1:1: connection refused"


def test_a_certificate_that_is_not_there_is_said_in_a_line(tmp_path: Path) -> None:
    files = ("--cert", "none.crt", "--ca", "none.crt")
    done = generate("--connect", "127.0.0.1:1", *files, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("none.crt: the CA cannot be read (no such file or directory)")
    assert "Traceback" not in done.stderr


def test_mistakes_in_options_name_the_option_and_mistakes_in_a_file_the_line(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text("target: [127.0.0.1:9100]\nphases:\n  - {duration: 10, rate: 5/s}\n")
    done = generate("scenario.yaml", "--rate", "many", "--tls", "clear", folder=tmp_path)
    assert (done.returncode, done.stderr) == (2, "--rate: is 'many/s': must be a rate such as 2000/s, 600/m or 0.5/s\n")
    done = generate("scenario.yaml", "--tls", "clear", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("scenario.yaml:3: phases[0].duration: is '10': a duration needs its unit")
