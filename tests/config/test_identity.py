"""`identity` of a group and `serial` of its devices: what they mean, and what is wrong with them."""

# ruff: noqa: E501 - a table of mistakes

from __future__ import annotations

from pathlib import Path

import pytest

from config.model import DEFAULT_PROBES, GroupType, Identity, LikenessAction, Probe, SerialPin
from tests.support.configs import load_text

TEXT = """\
listeners: [{name: a, bind: "127.0.0.1:0", group: g, tls: {mode: clear}}]
groups:
  - name: g
    tls: {mode: clear}
    type: hsm
    identity: {}
    devices:
      - {name: d1, address: "hsm1:9100", role: primary}
      - {name: d2, address: "hsm2:9100"}
"""
I = "groups.g.identity"  # noqa: E741


def load(folder: Path, identity: str, **serials: str) -> tuple[Identity, list[str]]:
    """The section, and the problems as `line: key: message`."""
    text = TEXT.replace("identity: {}", f"identity: {identity}")
    for name, serial in serials.items():
        text = text.replace(f"name: {name},", f"name: {name}, serial: {serial},")
    found = load_text(folder, text)
    problems = [f"{each.severity} {each.line}: {each.path}: {each.message}" for each in found.problems]
    return found.config.groups[0].identity if found.config else None, problems  # type: ignore[return-value]


def test_everything_given(tmp_path: Path) -> None:
    identity, problems = load(
        tmp_path,
        '{probes: [{request: "[AOECHO;]", compare: [VS, FW]}, {request: "[AOGPKM;]", compare: body}, '
        '{request: "[AOKMAP;]", key_table: true}], interval: 30s, timeout: 2s, action: enforce, pin: {serial: SN}}',
        d1="0A",
        d2="0B",
    )
    assert problems == []
    assert identity == Identity(
        probes=(
            Probe(request="[AOECHO;]", compare=("VS", "FW")),
            Probe(request="[AOGPKM;]", compare="body"),
            Probe(request="[AOKMAP;]", key_table=True),
        ),
        interval=30.0,
        timeout=2.0,
        action=LikenessAction.ENFORCE,
        pin=SerialPin(serial="SN", request="[AOHASH;]"),
    )
    assert identity.probes is not None
    assert [probe.shows_key_table for probe in identity.probes] == [False, True, True]


@pytest.mark.parametrize(("kind", "probes"), [(GroupType.HSM, DEFAULT_PROBES), (GroupType.KMS, ())])
def test_without_probes_hsms_are_asked_and_others_are_not(
    tmp_path: Path, kind: GroupType, probes: tuple[Probe, ...]
) -> None:
    loaded = load_text(tmp_path, TEXT.replace("type: hsm", f"type: {kind.value}"))
    assert loaded.config is not None
    assert loaded.config.groups[0].probes == probes


def test_an_empty_list_switches_it_off(tmp_path: Path) -> None:
    identity, problems = load(tmp_path, "{probes: []}")
    assert (identity.probes, problems) == ((), [])


@pytest.mark.parametrize(
    ("identity", "problem"),
    [
        ('{probes: [{request: "[AOGPKD;]"}]}', f"error 6: {I}.probes[0].request: uses GPKD (effect write), must be"),
        ('{probes: [{request: "[AORKLG;]"}]}', f"error 6: {I}.probes[0].request: uses RKLG (effect session)"),
        ('{probes: [{request: "ECHO"}]}', f"error 6: {I}.probes[0].request: is no Excrypt message"),
        ('{probes: [{request: "[AOECHO;AGa;AGb;]"}]}', f"error 6: {I}.probes[0].request: has two AG fields"),
        ('{probes: [{request: "[AOQQQQ;]"}]}', f"warning 6: {I}.probes[0].request: uses QQQQ, which is in no catalogue"),
        ("{probes: [{}]}", f"error 6: {I}.probes[0].request: is missing"),
        ('{probes: [{request: "[AOECHO;]", compare: all}]}', f"error 6: {I}.probes[0].compare: is 'all', must be body, or a list"),
        ('{probes: [{request: "[AOECHO;]", compare: {}}]}', f"error 6: {I}.probes[0].compare: is a section, must be one of body, or a list"),
        ('{probes: [{request: "[AOECHO;]", compare: []}]}', f"error 6: {I}.probes[0].compare: is empty, must be body, or a list"),
        ('{probes: [{request: "[AOECHO;]", compare: [VS, version]}]}', f"error 6: {I}.probes[0].compare[1]: is 'version', must be two"),
        ('{probes: [{request: "[AOECHO;]", compare: [AG]}]}', f"error 6: {I}.probes[0].compare[0]: is AG, which says nothing"),
        ("{action: demand}", f"error 6: {I}.action: is 'demand', must be one of observe, enforce"),
        ("{probes: [], action: enforce}", f"error 6: {I}.action: is enforce, but nothing is compared"),
        ("{interval: 1s, timeout: 2s}", f"error 6: {I}.timeout: is 2s, must be at most interval, which is 1s"),
        ("{interval: 1s}", f"error 6: {I}.interval: is 1s, must be at least identity.timeout, which is 5s"),
        ("{pin: {}}", f"error 6: {I}.pin.serial: is missing"),
        ("{pin: {serial: AO}}", f"error 6: {I}.pin.serial: is AO, which says nothing"),
        ('{pin: {serial: SN, request: "[AOTIME;]"}}', f"error 6: {I}.pin.request: uses TIME (effect write)"),
        ("{pin: {serial: SN}}", f"warning 6: {I}.pin: pins nothing"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_at_its_key(tmp_path: Path, identity: str, problem: str) -> None:
    _, problems = load(tmp_path, identity)
    assert any(each.startswith(problem) for each in problems), problems
    assert len([each for each in problems if each.startswith("error")]) <= 1


def test_kms_with_enforce_needs_probes_of_its_own(tmp_path: Path) -> None:
    text = TEXT.replace("type: hsm", "type: kms").replace("identity: {}", "identity: {action: enforce}")
    assert any("nothing is compared" in problem.message for problem in load_text(tmp_path, text).problems)


def test_a_serial_needs_a_pin(tmp_path: Path) -> None:
    _, [problem] = load(tmp_path, "{}", d2="0B")
    assert problem.startswith("error 9: groups.g.devices.d2.serial: is compared with nothing, needs identity.pin")


def test_no_two_devices_have_one_serial(tmp_path: Path) -> None:
    _, [problem] = load(tmp_path, "{pin: {serial: SN}}", d1="0A", d2="0A")
    assert problem.startswith("error 9: groups.g.devices.d2.serial: is '0A' as on line 8, must be unique")
