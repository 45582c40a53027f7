"""`guardian doctor` on emulated devices: it finds what is wrong, changes nothing, and ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from balancer.snapshot import Will
from config.loader import load
from guardian.admin.server import serve_admin
from guardian.cli import execute
from guardian.doctor.asking import ask_all
from guardian.doctor.device import Asked, judge_devices
from guardian.doctor.finding import Verdict
from guardian.events import Actor
from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.faults import Fault
from tests.support.estate import configuration, device_tls, estate

ASKS = "    identity: {probes: [{request: '[AOECHO;]'}, {request: '[AOGPKM;]'}], timeout: 1s}\n"
HARMLESS = {b"ECHO", b"GPKM"}
ROLES = {False: "primary", True: "production"}


def device(pki: PkiFiles, name: str, **settings: object) -> SimulatedDevice:
    return SimulatedDevice(name, tls=device_tls(pki, name), **settings)  # type: ignore[arg-type]


@asynccontextmanager
async def devices(pki: PkiFiles, folder: Path, wanted: Mapping[str, SimulatedDevice]) -> AsyncIterator[Path]:
    """The devices alone, and a configuration for them: no proxy runs."""
    async with trio.open_nursery() as nursery:
        for each in wanted.values():
            await nursery.start(each.serve)
        entries = {
            name: f'address: "127.0.0.1:{each.port}", role: {ROLES[bool(number)]}, connect_timeout: 1500ms'
            for number, (name, each) in enumerate(wanted.items())
        }
        path = folder / "guardian.yaml"
        path.write_text(configuration(pki, entries, group=ASKS))
        yield path
        nursery.cancel_scope.cancel()


async def doctor(*args: str) -> int:
    return await trio.to_thread.run_sync(execute, ["doctor", *args])


def found(capsys: pytest.CaptureFixture[str], name: str) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if f" {name}: " in line]


async def test_good_devices_are_alike_and_were_asked_for_nothing_else(
    pki: PkiFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = {name: device(pki, name) for name in ("hsm1", "hsm2")}
    async with devices(pki, tmp_path, two) as path:
        assert await doctor(str(path)) == 0
        printed = capsys.readouterr()
        assert "answers in" in printed.out
        assert ", like its primary" in printed.out
        assert "0 problems" in printed.err
        for each in two.values():
            assert {record.request[3:7] for record in each.journal} == HARMLESS
            assert len({record.connection for record in each.journal}) == 1
        assert await doctor(str(path), "--no-devices") == 0
        assert "device " not in capsys.readouterr().out


async def test_a_device_that_is_gone_unlike_or_silent_is_a_problem(
    pki: PkiFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three = {name: device(pki, name) for name in ("hsm1", "hsm2", "hsm3")}
    other = SimulatedDevice("hsm4", tls=device_tls(pki, "hsm4"), slots=8)
    async with devices(pki, tmp_path, {**three, "hsm4": other}) as path:
        await three["hsm2"].kill()
        three["hsm3"].fault = Fault.hang()
        assert await doctor(str(path)) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    [gone] = [line for line in lines if "payments/hsm2" in line]
    assert gone.startswith("problem")
    assert "connection refused; 9100, 9009, 2001 do not open either: Admin port configuration" in gone
    [silent] = [line for line in lines if "payments/hsm3" in line]
    assert silent.startswith("problem")
    assert "not the ping (ECHO)" in silent or "no connection" in silent
    assert any("payments/hsm4" in line for line in lines)


async def test_another_model_is_seen(pki: PkiFiles, tmp_path: Path) -> None:
    two = {name: device(pki, name, model=f"model {name}") for name in ("hsm1", "hsm2")}
    async with devices(pki, tmp_path, two) as path:
        config = load(path).config
        assert config is not None
        [group] = config.groups
        asked = await ask_all([(group, each) for each in group.devices])
    [first, second, unlike] = judge_devices(asked, 0.0)
    assert (first.verdict, second.verdict, unlike.verdict) == (Verdict.OK, Verdict.OK, Verdict.PROBLEM)
    assert "unlike its primary hsm1 (ECHO.MD" in unlike.told


async def test_another_port_of_the_machine_says_whose_configuration_it_is(pki: PkiFiles, tmp_path: Path) -> None:
    """The port that opens stands for 9009."""
    one, admin = device(pki, "hsm1"), device(pki, "hsm2")
    async with devices(pki, tmp_path, {"hsm1": one, "hsm2": admin}) as path:
        await one.kill()
        config = load(path).config
        assert config is not None
        [group] = config.groups
        [asked] = await ask_all([(group, group.devices[0])], other_ports=(admin.port, one.port, 1))
        assert asked.unreached == "connection refused"
        assert asked.other_ports == {admin.port: "", 1: "connection refused"}


async def test_many_devices_are_asked_at_once_and_told_as_they_are_done(pki: PkiFiles, tmp_path: Path) -> None:
    """Five that hang take as long as one."""
    five = {f"hsm{number}": device(pki, f"hsm{number}") for number in (1, 2, 3, 4)}
    async with devices(pki, tmp_path, five) as path:
        for each in five.values():
            each.fault = Fault.hang()
        config = load(path).config
        assert config is not None
        [group] = config.groups
        told: list[Asked] = []
        began = trio.current_time()
        asked = await ask_all([(group, each) for each in group.devices], told.append)
        # One after the other they would take a whole timeout each.
        assert trio.current_time() - began < 4 * group.devices[0].connect_timeout
        assert [each.device.name for each in asked] == list(five)
        assert len(told) == 4
        assert all(each.ping is None for each in asked)


async def test_a_running_proxy_is_asked_first_and_maintenance_is_left_alone(
    pki: PkiFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = {name: device(pki, name) for name in ("hsm1", "hsm2")}
    async with estate(pki, tmp_path, two) as on, trio.open_nursery() as nursery:
        loaded = load(on.config).config
        assert loaded is not None
        bound = await nursery.start(serve_admin, loaded.admin, on.proxy)
        admin = ["--admin", f"http://{bound}"]
        assert await doctor(str(on.config), *admin) == 0
        out = capsys.readouterr().out
        assert "ok       proxy: serving at http://" in out
        assert "beside this one" not in out  # its clock is the same
        assert "the running proxy may open" in out
        on.proxy.set_will("payments", "hsm2", Will.MAINT, Actor(name="me", source="here"))
        with trio.fail_after(30):  # what was on its way to it has come
            while on.devices["hsm2"].connections:
                await trio.sleep(0.005)
        seen = len(on.devices["hsm2"].journal)
        assert await doctor(str(on.config), "--quiet", *admin) == 0
        out = capsys.readouterr().out
        assert "an operator has it in maint" in out
        assert "ok " not in out
        assert len(on.devices["hsm2"].journal) == seen
        nursery.cancel_scope.cancel()


def test_a_wrong_configuration_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text("listeners: []\n")
    assert execute(["doctor", str(path)]) == 1
    printed = capsys.readouterr()
    assert f"problem  configuration: {path}:1: listeners: is empty" in printed.out


def test_without_any_configuration_it_asks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("guardian.commands.doctor._USUAL", (Path("guardian.yaml"),))
    assert execute(["doctor"]) == 2
    assert "guardian.yaml" in capsys.readouterr().err
    Path("guardian.yaml").write_text(json.dumps({}))
    assert execute(["doctor"]) == 1
