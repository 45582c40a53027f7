"""Which functions there are, and what a wrong request is answered."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import config
from loadtest.simhsm.registry import FUNCTIONS
from tests.support.emulated import Inside


def test_every_function_of_the_guides_lists_is_there() -> None:
    catalogue = yaml.safe_load(Path(config.__file__).with_name("commands.yaml").read_text())
    entries = catalogue["commands"] if isinstance(catalogue, dict) else catalogue
    listed = {entry["name"] for entry in entries if entry.get("lists")}
    assert len(listed) > 35
    undescribed = {"CLCR", "RKRL"}  # nested commands whose function nobody describes
    assert listed - set(FUNCTIONS) == undescribed


@pytest.mark.parametrize(
    ("code", "fields", "tag"),
    [
        ("NOPE", {}, "AO"),
        ("GPSE", {}, "BG"),
        ("GPSE", {"BG": "nothex"}, "BG"),
        ("GPSE", {"BG": "00" * 40}, "BG"),
        ("GPGS", {"CT": "x"}, "CT"),
        ("GPGS", {"CT": 99}, "CT"),
        ("GHSH", {"RG": 4, "BO": "xyz"}, "BO"),
        ("GHSH", {"RG": 2, "BO": ""}, "RG"),
        ("GPKD", {"BD": 100_000}, "BD"),
        ("GRSA", {"RB": 17}, "RB"),
        ("GRSA", {"RB": 1024, "RA": 2}, "RA"),
        ("HMAC", {"BN": 1}, "BN"),
        ("RSAS", {"CH": "00", "RF": "00"}, "CH"),
        ("ASYR", {"RC": "BD0", "SU": "x"}, "RC"),
        ("EPIN", {"AX": "BD3", "AK": "40", "PN": "1"}, "AX"),
    ],
)
def test_a_wrong_request_is_answered_with_the_tag_at_fault(
    inside: Inside, code: str, fields: dict[str, object], tag: str
) -> None:
    answer = inside(code, AG="ctx", **fields)
    assert (answer.code, answer["AN"], answer["AG"]) == ("ERRO", tag, "ctx")
