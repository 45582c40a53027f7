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
from click.testing import CliRunner

from loadtest.compare.pki import Pki, make_pki
from loadtest.compare.processes import Processes
from loadtest.generate.command import main
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
        yield device.first_line(timeout=60)


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


def test_nobody_there_is_said_in_a_line(tmp_path: Path) -> None:
    done = generate("--connect", "127.0.0.1:1", "--tls", "clear", "--rate", "10", folder=tmp_path)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "no connection to 127.0.0.1:1: connection refused"


def test_files_that_cannot_be_used_are_said_in_a_line(tmp_path: Path, load_pki: Pki) -> None:
    files = ["--cert", str(tmp_path / "none.crt"), "--ca", str(tmp_path / "none.crt")]
    done = CliRunner().invoke(main, ["--connect", "127.0.0.1:1", *files])
    assert done.exit_code == 2
    assert done.output == f"{tmp_path}/none.crt: the CA cannot be read (no such file or directory)\n"
    client = load_pki.client
    files = ["--cert", str(client.certificate), "--key", str(load_pki.device.key), "--ca", str(client.ca)]
    done = CliRunner().invoke(main, ["--connect", "127.0.0.1:1", *files])
    assert done.exit_code == 2
    assert done.output == f"{client.certificate}: certificate and key cannot be used (key values mismatch)\n"


def test_a_refused_certificate_is_said_in_a_line(echo_address: str, load_pki: Pki, tmp_path: Path) -> None:
    options = ("--tls", "server", "--ca", load_pki.client.ca, "--duration", "500ms")
    done = generate("--connect", echo_address, *options, folder=tmp_path)
    # TLS 1.3 tells it after the handshake; on a busy machine that may be after the run has begun.
    assert done.returncode in {1, 3}
    assert "alert certificate required" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--connect localhost", "--connect: is 'localhost': must be host:port"),
        ("", "--connect: is missing, must be a list"),
        ("--connect h:1", "--ca: is missing, must name the CA"),
        ("--connect h:1 --tls mutal", "--tls: is 'mutal', must be one of mutual, server, clear"),
        ("--connect h:1 --tls server --ca c --rate many", "--rate: is 'many/s': must be a rate such as 2000/s"),
        ("--connect h:1 --tls clear --rate 5 --duration 5", "--duration: is '5': a duration needs its unit"),
        ("--connect h:1 --tls clear --phase 5", "--phase: '5' must be RATE/DURATION"),
        ("--connect h:1 --tls clear --phase 5/5s --rate 5", "--phase stands instead of --rate"),
        (
            "--connect h:1 --tls clear --clients 5..100",
            "--clients: is 100, must be at most as many as connections (16)",
        ),
        ("--connect h:1 --tls clear --rate 5 --clients 5", "--clients: belongs to a closed"),
        ("--connect h:1 --tls clear --mix ECHO=0", "--mix: is 0, must be more than 0"),
        ("--connect h:1 --tls clear --size 5", "--size: is 5, must be at least 26 bytes"),
        ("--connect h:1 --tls clear --require fast", "--require: is 'fast': must be like p50<5ms"),
        ("--connect h:1 --tls clear --login a --users b", "--login: needs either"),
        ("--connect h:1 --tls clear -o nowhere/run", "--report: nowhere is no folder"),
    ],
)
def test_mistakes_in_options_name_the_option(options: str, said: str) -> None:
    done = CliRunner().invoke(main, options.split())
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert all(line.startswith("--") for line in done.output.splitlines())


def test_options_go_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text("target: [127.0.0.1:1]\ntls: {mode: clear}\nphases:\n  - {duration: 10, rate: 5/s}\n")
    done = CliRunner().invoke(main, [str(file)])
    assert done.exit_code == 2
    assert done.output.startswith(f"{file}:4: phases[0].duration: is '10': a duration needs its unit")
    done = CliRunner().invoke(main, [str(file), "--rate", "many", "--duration", "1s"])
    assert done.output.startswith("--rate: is 'many/s'"), "what the option replaces is not looked at"


def test_help_shows_every_option_in_a_section() -> None:
    text = CliRunner().invoke(main, ["--help"]).output
    options = [option for parameter in main.params for option in parameter.opts if option.startswith("--")]
    assert options
    assert all(option in text for option in options)
    assert text.partition("\nOther:\n")[2].split()[:2] == ["-h,", "--help"], "whatever has no section stands there"
