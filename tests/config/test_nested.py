"""Where a KMES command says which command it carries, and the entries that need it."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.model import GroupType, NestedTag, Nesting
from tests.support.configs import load_text

G = "groups.keys"


def text(*, functions: str = "{}", nested: str = "{}", clients: str = "[]", kind: str = "kms", port: int = 2001) -> str:
    return f"""\
listeners: [{{name: a, bind: "127.0.0.1:0", group: keys, tls: {{mode: clear}}}}]
groups:
  - name: keys
    type: {kind}
    tls: {{mode: clear}}
    functions: {functions}
    nested: {nested}
    clients: {clients}
    devices:
      - {{name: k1, address: "kmes1:{port}", role: primary}}
"""


def test_a_tag_for_each_command(tmp_path: Path) -> None:
    found = load_text(tmp_path, text(nested="{RKRL: {tag: RN}, CLCR: {tag: C1, value: start}}"))
    assert found.problems == ()
    assert found.config is not None
    assert found.config.groups[0].type is GroupType.KMS
    assert found.config.groups[0].nested == {
        Nesting.RKRL: NestedTag(tag="RN", value="whole"),
        Nesting.CLCR: NestedTag(tag="C1", value="start"),
    }


@pytest.mark.parametrize(
    ("nested", "line", "path", "message"),
    [
        ("{RKRL: {}}", 7, f"{G}.nested.RKRL.tag", "is missing"),
        ("{RKRL: {value: start}}", 7, f"{G}.nested.RKRL.tag", "is missing"),
        ("{RKRL: {tag: rn}}", 7, f"{G}.nested.RKRL.tag", "two upper-case letters or digits"),
        ("{RKRL: {tag: RNX}}", 7, f"{G}.nested.RKRL.tag", "two upper-case letters or digits"),
        ("{RKRL: {tag: AO}}", 7, f"{G}.nested.RKRL.tag", "is AO, must be another"),
        ("{RKRL: {tag: AG}}", 7, f"{G}.nested.RKRL.tag", "is AG, must be another"),
        ("{RKRL: {tag: RN, value: end}}", 7, f"{G}.nested.RKRL.value", "one of whole, start"),
        ("{GPKD: {tag: RN}}", 7, f"{G}.nested.GPKD", "is no known key"),
    ],
)
def test_mistakes(nested: str, line: int, path: str, message: str, tmp_path: Path) -> None:
    [found] = load_text(tmp_path, text(nested=nested)).problems
    assert (found.line, found.path, found.severity) == (line, path, "error")
    assert message in found.message


@pytest.mark.parametrize("field", ["allow", "block"])
@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("RKRL/GETK", "needs nested.RKRL.tag"),
        ("Excrypt:RKRL/GETK", "needs nested.RKRL.tag"),
        ("GPKD/GETK", "only CLCR and RKRL carry others"),
        ("RKRL/getk", "names no list"),
        ("RKRL/GETKX", "names no list"),
        ("rkrl/GETK", "names no list"),
        ("RKRL/", "names no list"),
    ],
)
def test_an_entry_that_could_not_be_told_apart_is_an_error(
    field: str, entry: str, message: str, tmp_path: Path
) -> None:
    functions = f'{{{field}: ["{entry}"]}}'
    for where in (
        {"functions": functions},
        {"clients": f"[{{match: {{common_name: v}}, functions: {functions}}}]"},
    ):
        [found] = load_text(tmp_path, text(nested="{CLCR: {tag: RN}}", **where)).problems
        assert found.severity == "error"
        assert message in found.message
        assert found.path.endswith(f"functions.{field}[0]")


def test_with_the_tag_it_is_a_good_entry(tmp_path: Path) -> None:
    found = load_text(
        tmp_path,
        text(functions="{allow: [RKRL/GETK, Excrypt:RKRL/LIST], block: [RKRL/DELK]}", nested="{RKRL: {tag: RN}}"),
    )
    assert found.problems == ()


@pytest.mark.parametrize("entry", ["kmes-host-api/nested", "category:host_api"])
def test_what_seems_to_allow_carriers_and_does_not_is_a_warning(entry: str, tmp_path: Path) -> None:
    [found] = load_text(tmp_path, text(functions=f'{{allow: ["{entry}"]}}')).problems
    assert (found.severity, found.path) == ("warning", f"{G}.functions.allow[0]")
    assert "name CLCR and RKRL itself" in found.message
    assert load_text(tmp_path, text(functions=f'{{allow: ["{entry}"]}}', kind="hsm", port=9101)).problems == ()
    assert load_text(tmp_path, text(functions=f'{{block: ["{entry}"]}}')).problems == ()
    assert load_text(tmp_path, text(functions="{allow: [RKRL, Excrypt:CLCR]}")).problems == ()


@pytest.mark.parametrize(("kind", "port", "usual"), [("kms", 9100, 2001), ("hsm", 2001, 9100)])
def test_the_other_types_port_is_a_warning(kind: str, port: int, usual: int, tmp_path: Path) -> None:
    [found] = load_text(tmp_path, text(kind=kind, port=port)).problems
    assert (found.severity, found.path) == ("warning", f"{G}.devices.k1.address")
    assert f"usually {usual}" in found.message
    assert load_text(tmp_path, text(kind=kind, port=usual)).problems == ()
    assert load_text(tmp_path, text(kind=kind, port=9101)).problems == ()
