"""Right requests with some fields made wrong: every function answers, and none fails."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.simhsm.key import KeyKind
from loadtest.simhsm.registry import FUNCTIONS
from tests.support.emulated import new_inside

ACCOUNT = "4000001234562000"
SAMPLE = new_inside()
RSA, CURVE, OTHER = SAMPLE("GRSA", RB=1024), SAMPLE("GECC", RA=2), SAMPLE("GECC", RA=3)
AES, TDES = SAMPLE("GPGS", CT=6)["BG"], SAMPLE.load(bytes(range(16)), KeyKind.TDES)
DATA = "00112233445566778899AABBCCDDEEFF"
ROOT = SAMPLE("ASGC", RC=RSA["RC"], SU="root")["RT"]
REQUEST = SAMPLE("ASYR", RC=CURVE["RC"], SU="leaf")["RQ"]
WRAPPED, BARE = SAMPLE("GPWK", AK=AES, BG=AES)["BK"], SAMPLE("GPKW", AK=AES, BG=AES)["BK"]
SIGNED = SAMPLE("RSAS", RC=RSA["RC"], RF=DATA, RG=4)["RH"]
PIN = {"AX": TDES, "BT": TDES, "BV": TDES, "AK": ACCOUNT, "PN": "1234"}
PIN["AL"] = SAMPLE("EPIN", **PIN)["AL"]
CARD = {"BC": TDES, "AK": ACCOUNT, "ED": "3001", "SC": "101", "CV": "123"}
GCM = {"BG": AES, "CM": "2", "IV": "00" * 12, "AD": "00"}
SEALED = SAMPLE("GPSE", **GCM, BO=DATA)["BO"]
ENCRYPTED = SAMPLE("GPSE", BG=AES, BO=DATA)["BO"]
RECOVERABLE = SAMPLE("GPSR", OP="S", RC=RSA["RC"], BO=DATA)["BO"]
TRUSTED = SAMPLE("AVPC", RT=ROOT, RI=ROOT)["RP"]

RIGHT: list[tuple[str, dict[str, str]]] = [
    ("RAND", {"BL": "8"}), ("TIME", {"TM": "20300101000000"}), ("PRMD", {}), ("HASH", {}), ("STAT", {}),
    ("RKLG", {"DA": "crypto1", "CH": "safest1"}), ("RKLG", {"AP": "token-of-crypto1"}), ("ECHO", {"AG": "x"}),
    ("GPGS", {"CT": "6", "FS": "6", "LU": "3", "BD": "3", "LA": "x"}), ("GECC", {"RA": "2", "BD": "4"}),
    ("GRSA", {"RB": "1024", "RA": "10001"}), ("GPKA", {"BG": AES, "BD": "2"}), ("LRSA", {"RC": RSA["RC"]}),
    ("ASYL", {"RC": CURVE["RC"], "BD": "9"}), ("GPCA", {"RT": ROOT, "BD": "0"}), ("GPKD", {"BD": "0"}),
    ("APFP", {"RC": RSA["RC"]}), ("RPFP", {"RC": RSA["RC"]}), ("ADPK", {"RP": TRUSTED}), ("RDPK", {"RC": CURVE["RC"]}),
    ("GPGC", {"BD": "0"}), ("GPKM", {}), ("GPKR", {"BD": "0"}), ("GPKS", {"BD": "0", "LA": "y", "LU": "F"}),
    ("KMAP", {}), ("VKTE", {"BD": "0", "AE": "123456"}), ("GPKW", {"AK": AES, "BG": AES}),
    ("GPWK", {"AK": AES, "BG": RSA["RC"]}), ("GPKU", {"AK": AES, "BK": BARE, "CT": "6"}),
    ("GPUK", {"AK": AES, "BK": WRAPPED}), ("RKEY", {"FS": "2"}), ("GWKS", {"AK": AES, "CT": "4"}),
    ("SDDH", {"RC": CURVE["RC"], "RD": CURVE["RD"], "BO": "00"}), ("GPSE", {"BG": AES, "BO": DATA, "IV": DATA}),
    ("GPSE", {**GCM, "BO": DATA}), ("GPSD", {**GCM, "BO": SEALED}), ("GPSD", {"BG": AES, "BO": ENCRYPTED}),
    ("GPED", {"OP": "E", "BG": TDES, "BO": DATA}), ("GPSR", {"OP": "E", "RC": RSA["RC"], "BO": "00", "ZA": "2"}),
    ("GPSR", {"OP": "V", "RD": RSA["RD"], "BO": RECOVERABLE}), ("GPSR", {"OP": "S", "RC": RSA["RC"], "BO": DATA}),
    ("GHSH", {"RG": "4", "BO": DATA}), ("HMAC", {"RG": "4", "AR": AES, "BO": DATA, "BN": "0"}),
    ("GPMC", {"BG": TDES, "BO": DATA}), ("VMAC", {"BG": AES, "BO": DATA, "CF": DATA}),
    ("ASYS", {"RC": CURVE["RC"], "RG": "4", "BO": DATA}), ("ASYS", {"RC": CURVE["RC"], "RG": "0", "BO": DATA * 2}),
    ("ASYV", {"RD": RSA["RD"], "BO": DATA, "RG": "4", "RH": SIGNED}),
    ("GPSV", {"OP": "S", "RC": RSA["RC"], "BO": DATA}),
    ("RSAS", {"RC": RSA["RC"], "RF": DATA, "RG": "4", "BN": "1", "ZA": "2"}),
    ("RSAV", {"RD": RSA["RD"], "RF": DATA, "RG": "4", "RH": SIGNED}),
    ("ASGC", {"RC": CURVE["RC"], "SU": "x", "DY": "9"}),
    ("ASYR", {"RC": RSA["RC"], "SU": "x"}), ("ASSR", {"RC": RSA["RC"], "RT": ROOT, "RQ": REQUEST, "DY": "9"}),
    ("AVPC", {"RT": ROOT, "RI": ROOT}), ("RCCN", {"RN": "13", "RT": ROOT}), ("PEDI", {}),
    ("TPIN", {**PIN, "AW": "1"}), ("EPIN", PIN), ("GPIN", {**PIN, "PL": "6"}), ("CPIN", PIN),
    ("GOFF", {**PIN, "PI": "1"}),
    ("VPIN", {**PIN, "PV": "1234"}), ("GCVV", CARD), ("VCVV", CARD),
]  # fmt: skip
WRONG = [
    AES, TDES, RSA["RC"], RSA["RD"], CURVE["RC"], CURVE["RD"], OTHER["RC"], OTHER["RD"], ROOT, WRAPPED, TRUSTED, DATA,
    ACCOUNT, "", "0", "1", "2", "3", "4", "7", "E", "D", "S", "V", "12", "31", "BD0", "BD1", "BD9999", "00" * 8,
    "00" * 12, "00" * 16, "FF" * 24, "F" * 600, "XY", "-1", "1_0", "\xb2\xb3" * 8,
    "99999999999999999999", " ", "x" * 70,
]  # fmt: skip
TAGS = sorted({tag for _, fields in RIGHT for tag in fields})


def test_every_right_request_is_right_and_covers_its_function() -> None:
    inside = new_inside()
    for code, fields in RIGHT:
        inside("GPKA", BG=AES, BD=0)
        assert inside(code, **fields).code == code
    aliases = {"CBCD", "DCID", "ECID", "RKHM", "GMAC", "RPPF", "TWKA", "TWKS", "TWKM", "GCVC", "VCVC"}
    later_steps = {"PEDK", "PEDV", "DRKI", "DRKK", "DRKV"}
    assert set(FUNCTIONS) - {code for code, _ in RIGHT} == aliases | later_steps


@pytest.mark.parametrize(("code", "fields"), RIGHT)
def test_no_function_fails_on_a_wrong_field(code: str, fields: dict[str, str]) -> None:
    """Each field with each wrong value, and left out."""
    inside = new_inside()
    for tag in fields:
        for wrong in (*WRONG, None):
            if (code, tag) == ("GRSA", "RB"):
                continue  # other sizes take long to find
            spoiled = {key: value for key, value in {**fields, tag: wrong}.items() if value is not None}
            inside("GPKA", BG=AES, BD=0)
            assert inside(code, **spoiled).code in (code, "ERRO")


@settings(max_examples=200, deadline=None)
@given(
    right=st.sampled_from([entry for entry in RIGHT if entry[0] != "GRSA"]),
    changes=st.dictionaries(st.sampled_from(TAGS), st.sampled_from(WRONG), min_size=2, max_size=5),
)
def test_no_function_fails_on_several(right: tuple[str, dict[str, str]], changes: dict[str, str]) -> None:
    code, fields = right
    inside = new_inside()
    inside("GPKA", BG=AES, BD=0)
    assert inside(code, **{**fields, **changes}).code in (code, "ERRO")
