"""What is tested, and what the installed command says of itself."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import trio

import balancer.group
from balancer.snapshot import ProxySnapshot
from guardian.installation import data_path
from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from tests.support.estate import configuration, device_tls, estate
from tests.support.process import GUARDIAN, running

ROOT = Path(__file__).parents[2]
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
MODULES = [module.removesuffix(".py").replace("/", ".") for module in HOOK["custom"]["modules"]]
FILES = f"import importlib\nfor name in {MODULES}: print(importlib.import_module(name).__file__)"


def test_these_tests_run_what_they_should() -> None:
    """The sources of the checkout; or, where PYTHONSAFEPATH keeps it out, what is installed."""
    file = Path(balancer.group.__file__)
    assert (file.parent == ROOT / "balancer") is (not sys.flags.safe_path)
    assert data_path() == ("interpreted" if file.suffix == ".py" else "compiled")


async def test_a_run_begins_by_saying_what_it_is(pki: PkiFiles, tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text(configuration(pki, {"hsm1": 'address: "127.0.0.1:1", role: primary'}))
    said = subprocess.run([GUARDIAN, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    async with running(path) as proxy:
        started = proxy.lines[0]
    assert started["event"] == "starting"
    assert said == f"guardian {started['version']}, data path {started['data_path']}\n"


def test_the_command_is_compiled_whole_where_it_says_so() -> None:
    said = subprocess.run([GUARDIAN, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    files = subprocess.run(
        [sys.executable, "-P", "-c", FILES], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()
    assert len(files) == len(MODULES)
    assert {Path(file).suffix for file in files} == ({".so"} if said.strip().endswith(" compiled") else {".py"})


async def test_what_a_proxy_shows_can_be_sent_to_another_process(pki: PkiFiles, tmp_path: Path) -> None:
    """What mypyc compiles has no annotations to read it by."""
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    async with estate(pki, tmp_path, {"hsm1": device}) as world:
        client = await world.client()
        assert await client.request(b"[AOECHO;AG1;]") == b"[AOECHO;AG1;]"
        with trio.fail_after(30):
            while not (snapshot := world.proxy.snapshot()).groups[0].commands[0].duration.exemplars:
                await trio.sleep(0.01)  # they are shown at a tick
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot), type=ProxySnapshot) == snapshot
