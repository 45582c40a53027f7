"""What a doctor makes of facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from balancer.transport.peers import read_certificate
from config.model import Bind, Config, Device, Group, GroupType, Limits, Listener, Role
from guardian.doctor.device import Asked, judge_devices
from guardian.doctor.finding import Finding
from guardian.doctor.judgement import (
    Place,
    descriptors_needed,
    judge_clock,
    judge_descriptors,
    judge_ends,
    judge_listener_name,
    judge_places,
    judge_running,
)
from guardian.doctor.machine import place, synchronised
from health.drift import sketch
from tests.support.tls import SERVER, authority, issue

NOW = 1_790_000_000.0
DAY = 86_400.0
HSM1 = Device(name="hsm1", address=Bind(host="10.0.8.30", port=9100), role=Role.PRIMARY)
HSM2 = Device(name="hsm2", address=Bind(host="10.0.8.31", port=9100))
GROUP = Group(name="payments", devices=(HSM1, HSM2))
LISTENER = Listener(name="excrypt", bind=Bind(host="0.0.0.0", port=9100), group="payments")
CONFIG = Config(listeners=(LISTENER,), groups=(GROUP,))


def lines(found: Iterable[Finding]) -> list[str]:
    return [f"{each.verdict.value} {each.about}: {each.told}" for each in found]


@pytest.mark.parametrize(
    ("kept", "proxy", "begins", "told"),
    [
        (True, None, {"a": NOW - 1}, ["ok clock: 2026-09-21 14:13 UTC, kept by NTP"]),
        (True, NOW + 1.9, {"a": NOW - 1}, ["ok clock: 2026-09-21 14:13 UTC, as the proxy's, kept by NTP"]),
        (None, None, {}, ["ok clock: 2026-09-21 14:13 UTC, whether NTP keeps it cannot be told"]),
        (False, None, {}, [("warning clock: 2026-09-21 14:13 UTC, kept by nobody: run chrony or systemd-timesyncd; "
                            "certificates and CRLs are judged by it")]),
        (True, NOW - 60, {}, ["warning clock: the proxy's is -60 s beside this one: NTP on both machines",
                              "ok clock: 2026-09-21 14:13 UTC, as the proxy's, kept by NTP"]),
        (True, None, {"a": NOW + DAY, "b": NOW + 2 * DAY},
         [("problem clock: it is 2026-09-21 14:13 UTC here, before every certificate begins: set the clock, or mend "
           "NTP")]),
        (True, None, {"a": NOW + DAY, "b": NOW - 1},
         [("problem clock: a begins on 2026-09-22 14:13 UTC, and it is 2026-09-21 14:13 UTC here: wait, or set the "
           "clock")]),
    ],
)  # fmt: skip
def test_the_clock(kept: bool | None, proxy: float | None, begins: Mapping[str, float], told: list[str]) -> None:
    assert lines(judge_clock(NOW, kept, proxy, begins)) == told


def test_descriptors() -> None:
    least, most = descriptors_needed(CONFIG)
    assert (least, most) == (64 + 10 + 10, 84 + 4096 + 256)
    assert judge_descriptors(CONFIG, 84, "the proxy").verdict.value == "problem"
    few = judge_descriptors(CONFIG, 1024, "the proxy")
    assert few.verdict.value == "warning"
    assert "need 4436: 940 get in" in few.told
    assert judge_descriptors(CONFIG, 4436, "the proxy").verdict.value == "ok"
    small = attrs.evolve(CONFIG, listeners=(attrs.evolve(LISTENER, limits=Limits(connections=10, handshakes=10)),))
    assert judge_descriptors(small, 1024, "the proxy").verdict.value == "ok"


@pytest.mark.parametrize(
    ("ends", "running", "told"),
    [
        ({}, {}, []),
        ({"a": NOW + 40 * DAY, "b": NOW + 90 * DAY}, {},
         ["ok certificates: 2 files; the first to end is a, in 40 days"]),
        ({"a": NOW - 1, "b": NOW + 90 * DAY}, {},
         ["problem certificates: a ended on 2026-09-21 14:13 UTC: renew it, then reload"]),
        ({"a": NOW + DAY}, {}, ["warning certificates: a ends on 2026-09-22 14:13 UTC, in 24 hours: renew it"]),
        ({"a": NOW + 90 * DAY}, {"a": NOW + DAY, "gone": NOW},
         [("warning certificates: a is another than the running proxy's, which ends on 2026-09-22 14:13 UTC: reload, "
           "so that it is used")]),
        ({"a": NOW + 90 * DAY}, {"a": NOW + 90 * DAY + 0.4},
         ["ok certificates: 1 files; the first to end is a, in 90 days"]),
    ],
)  # fmt: skip
def test_ends_of_certificates(ends: Mapping[str, float], running: Mapping[str, float], told: list[str]) -> None:
    assert lines(judge_ends(NOW, ends, running)) == told


@pytest.mark.parametrize(
    ("host", "san", "good"),
    [
        ("10.0.8.20", ["10.0.8.20"], True), ("10.0.8.20", ["10.0.8.21"], False), ("0.0.0.0", ["guardian-1"], True),
        ("0.0.0.0", ["elsewhere"], False), ("::", ["guardian-1"], True), ("10.0.8.20", ["guardian-1"], True),
        ("0.0.0.0", [], True),
    ],
)  # fmt: skip
def test_the_name_of_a_listener(host: str, san: list[str], good: bool) -> None:
    issued = issue(authority(), "guardian-1", eku=[SERVER], san=san)
    shown = read_certificate(issued.certificate.public_bytes(Encoding.DER))
    found = judge_listener_name("excrypt", host, shown, {"guardian-1", "localhost"})
    assert found.verdict.value == ("ok" if good else "warning"), found


MIB = 1_048_576


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "ok disk, j: 50.0 GiB are left for /j"),
        (
            {"writable": False},
            "problem disk, j: /j cannot be written by this user: is that the user that Guardian runs as?",
        ),
        ({"mode": 0o644}, "warning disk, j: /j is open to everybody (mode 644): chmod o= /j"),
        ({"free": 9 * MIB}, "problem disk, j: 9 MiB are left for /j: writes will be refused; make room"),
        ({"free": 99 * MIB, "size": 100 * MIB}, "warning disk, j: 99 MiB (99 %) are left for /j: make room"),
        ({"free": 1000 * MIB}, "warning disk, j: 1000 MiB (0 %) are left for /j: make room"),
        ({"free": None}, "warning disk, j: how much room is left for /j cannot be told"),
    ],
)
def test_disks(changes: dict[str, Any], told: str) -> None:
    good = Place(what="j", path=Path("/j"), exists=True, mode=0o600, writable=True, free=51_200 * MIB,
                 size=102_400 * MIB)  # fmt: skip
    assert told in lines(judge_places([attrs.evolve(good, **changes)]))


def test_what_this_machine_says(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    before = place("j", file)
    assert (before.exists, before.writable, before.mode) == (False, True, None)
    file.write_text("")
    file.chmod(0o640)
    found = place("j", file)
    assert (found.exists, found.mode) == (True, 0o640)
    assert found.free is not None
    assert found.size is not None
    assert 0 < found.free < found.size
    nowhere = place("j", tmp_path / "no" / "where")
    assert (nowhere.writable, nowhere.free) == (False, None)
    assert place("j", tmp_path / "a\0b").free is not None  # its folder's
    assert synchronised() in (True, False, None)


def answered(device: Device, tables: str = "a", **changes: Any) -> Asked:
    shown = {probe: sketch(f"[AO{probe.request[3:7]};KT{tables};]".encode(), probe, b"salt") for probe in GROUP.probes}
    return attrs.evolve(Asked(group=GROUP, device=device, ping=0.0021, shown=shown, ends=NOW + 90 * DAY), **changes)


GONE = Asked(group=GROUP, device=HSM2, unreached="connection refused")
OFF, ON = "connection refused", ""


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (answered(HSM2), "ok device payments/hsm2: 10.0.8.31:9100 answers in 2.1 ms, like its primary"),
        (answered(HSM2, shown={}), "ok device payments/hsm2: 10.0.8.31:9100 answers in 2.1 ms"),
        (answered(HSM2, "b"), ("problem device payments/hsm2: unlike its primary hsm1 (ECHO.KT, GPKM.KT): "
                               "docs/operations.md, A device is unlike")),
        (answered(HSM2, ends=NOW + 5 * DAY), "warning device payments/hsm2: its certificate ends in 5 days: renew it"),
        (answered(HSM2, probe_faults={"GPKM": "was answered with an error"}),
         ("warning device payments/hsm2: whether it is alike cannot be told: GPKM was answered with an error; see "
          "identity.probes")),
        (answered(HSM2, ping=None, ping_fault="no answer within 1 s"),
         ("problem device payments/hsm2: 10.0.8.31:9100 answers TLS, but not the ping (ECHO): no answer within 1 s; is "
          "its framing right, is the command open before login? docs/assumptions.md has what to try")),
        (attrs.evolve(GONE, other_ports={9009: ON, 2001: OFF}),
         ("problem device payments/hsm2: no connection to 10.0.8.31:9100: connection refused; but 9009 (Admin) opens, "
          "so the machine is there: Excrypt port configuration: is port 9100 enabled on it, with TLS and connections "
          "allowed?")),
        (attrs.evolve(GONE, other_ports={9009: OFF, 2001: OFF}),
         ("problem device payments/hsm2: no connection to 10.0.8.31:9100: connection refused; 9009, 2001 do not open "
          "either: Admin port configuration, or the machine is off, or a firewall is between")),
        (attrs.evolve(GONE, other_ports={9009: OFF, 2001: ON}),
         ("problem device payments/hsm2: no connection to 10.0.8.31:9100: connection refused; 2001 opens: that is a "
          "KMES, which wants a group of type kms and that port")),
        (attrs.evolve(GONE, unreached="TLS: tlsv1 alert unknown ca"),
         ("problem device payments/hsm2: no connection to 10.0.8.31:9100: TLS: tlsv1 alert unknown ca; do both sides "
          "use the same CA tree, RSA or ECC, and does the device believe tls.certificate?")),
        (attrs.evolve(GONE, unreached="the certificate is not for '10.0.8.31' but for 'Production'", stranger=True),
         ("problem device payments/hsm2: no connection to 10.0.8.31:9100: the certificate is not for '10.0.8.31' but "
          "for 'Production'; is tls.name the name in its certificate (often CN=Production), and tls.ca of "
          "its tree, RSA or ECC?")),
        (attrs.evolve(GONE, unreached="the name cannot be resolved: Name or service not known"),
         ("problem device payments/hsm2: no connection to 10.0.8.31:9100: the name cannot be resolved: Name or service "
          "not known; give its address, or mend DNS or /etc/hosts here")),
    ],
)  # fmt: skip
def test_a_device(second: Asked, told: str) -> None:
    found = lines(judge_devices([answered(HSM1), second], NOW))
    assert found[0] == "ok device payments/hsm1: 10.0.8.30:9100 answers in 2.1 ms, it is the primary"
    assert told in found[1:]
    assert (found[1].startswith("ok") and len(found) == 2) == told.startswith("ok") or "certificate ends" in told


def test_without_its_primary_nothing_can_be_compared() -> None:
    gone = attrs.evolve(GONE, device=HSM1)
    found = lines(judge_devices([gone, answered(HSM2)], NOW))
    assert "cannot be told: its primary showed nothing to compare with" in found[-1]
    found = lines(judge_devices([answered(HSM2)], NOW))  # the operator has the primary in maintenance
    assert "cannot be told" in found[-1]


def status(**device: Any) -> dict[str, Any]:
    known = {"name": "hsm1", "address": "10.0.8.30:9100", "will": "ready", "health": "up", "in_service": True,
             "reason": "", "behind": False,
             "likeness": {"state": "alike", "differs": []}, **device}  # fmt: skip
    return {
        "state": "serving", "version": "0.1", "now": "2026-09-21T14:13:20.000Z", "descriptors": {"limit": 4096},
        "groups": [{"name": "payments", "devices": [known]}],
        "certificates": [{"file": "/a", "expires": "2026-09-22T14:13:20.000Z"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ({}, []),
        ({"will": "maint", "in_service": False},
         ["problem group payments: no device is in service: clients get 902",
          ("warning device payments/hsm1: an operator has it in maint: `guardian device ready payments/hsm1` brings it "
           "back")]),
        ({"health": "unsafe", "reason": "unlike its group"},
         ["problem device payments/hsm1: the proxy believes it unsafe: unlike its group"]),
        ({"health": "probation"}, ["warning device payments/hsm1: the proxy believes it probation"]),
        ({"likeness": {"state": "unlike", "differs": ["GPKM.KT"]}},
         [("problem device payments/hsm1: the proxy finds it unlike its primary (GPKM.KT): docs/operations.md, A "
           "device is unlike")]),
        ({"behind": True}, [("problem device payments/hsm1: its key table is behind: docs/operations.md, A device is "
                            "behind")]),
    ],
)  # fmt: skip
def test_a_running_proxy(device: dict[str, Any], told: list[str]) -> None:
    running = judge_running(status(**device), "http://x", {"payments/hsm1": "10.0.8.30:9100"})
    assert lines(running.findings) == ["ok proxy: serving at http://x, version 0.1", *told]
    assert running.now == NOW
    assert running.descriptors == 4096
    assert running.ends == {"/a": NOW + DAY}
    assert running.maintained == ({"payments/hsm1"} if device.get("will") == "maint" else frozenset())


@pytest.mark.parametrize(
    "strange",
    [{}, {"groups": 1}, {"groups": [1, {"devices": [2]}]}, {"certificates": [{}], "now": 7, "descriptors": []},
     {"state": "draining", "groups": [{"devices": [{"likeness": 3}]}]}],
)  # fmt: skip
def test_a_status_of_another_form_is_no_fault(strange: dict[str, Any]) -> None:
    assert judge_running(strange, "x", {}).findings[0].verdict.value == "warning"


def test_a_proxy_with_other_devices_is_another() -> None:
    for wanted, told in (
        ({"payments/hsm1": "10.0.8.30:9100", "payments/hsm2": "10.0.8.31:9100"}, "(payments/hsm2)"),
        ({"payments/hsm1": "10.0.8.99:9100"}, "(payments/hsm1)"),
        ({}, "(payments/hsm1)"),
    ):
        [_, other] = judge_running(status(), "x", wanted).findings
        assert (other.verdict.value, other.about) == ("warning", "proxy")
        assert f"another configuration than this file {told}" in other.told


def test_a_silent_kmes_may_not_know_echo() -> None:
    kmes = attrs.evolve(GROUP, type=GroupType.KMS)
    asked = Asked(group=kmes, device=HSM1, ping_fault="it was answered with an error")
    [found] = judge_devices([asked], NOW)
    assert "a KMES may not know ECHO: set ping.request, or ping.accept: answer" in found.told
