"""The key table, and keys under other keys."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding

from loadtest.simhsm import DEFAULT_DIRECTORY
from loadtest.simhsm.hsm import Hsm
from loadtest.simhsm.key import Usage
from loadtest.simhsm.session import Session
from tests.support.emulated import Inside

OPEN = DEFAULT_DIRECTORY.open_to_all()


def test_a_key_lives_in_its_slot_until_it_is_deleted(inside: Inside) -> None:
    made = inside("GPGS", CT=6)
    added = inside("GPKA", BG=made["BG"], BD=5, LA="vault")
    assert (added["BD"], added["AE"]) == ("5", made["AE"])
    assert inside("GPGC", BD=5)["BG"] == made["BG"]
    assert inside("VKTE", BD=5, AE=made["AE"])["BB"] == "Y"
    assert inside("VKTE", BD=5, AE="000000")["BB"] == "N"
    inside("GPKA", BG=made["BG"], BD=15)
    assert inside("KMAP")["BM"].startswith("040100")
    inside("GPKD", BD=15)
    assert inside("GPKM")["KT"] == f"5:AES:{made['AE']}"
    assert inside("GPKD", BD=5)["BD"] == "5"
    assert inside("GPKD", BD=5).raw == b"[AOERRO;AM35;ANBD;BBKEY SLOT EMPTY;]"
    assert inside("GPSE", BG="BD5", BO=b"data")["BB"] == "KEY SLOT EMPTY"


def test_without_a_slot_the_first_free_one_is_taken_until_there_is_none(inside: Inside) -> None:
    key = inside("GPGS", CT=6)["BG"]
    inside.hsm.table.size = 2
    assert [inside("GPKA", BG=key)["BD"] for _ in range(2)] == ["0", "1"]
    assert inside("GPKA", BG=key)["BB"] == "KEY TABLE FULL"


def test_gpks_changes_settings_and_gpkr_shows_them(inside: Inside) -> None:
    inside("GPGS", CT=6, BD=1, LA="old", FS=3)
    assert inside("GPKS", BD=1)["LA"] == "old"
    changed = inside("GPKS", BD=1, LA="new", LU=f"{Usage.MAC:X}")
    shown = inside("GPKR", BD=1)
    assert shown.fields | {"AO": ""} == changed.fields | {"AO": ""}
    assert (shown["LA"], shown["LU"], shown["FS"], shown["KT"]) == ("new", "10", "3", "AES")
    assert inside("GPSE", BG="BD1", BO=b"x")["BB"] == "KEY USAGE"


@pytest.mark.parametrize("code", ["LRSA", "ASYL"])
def test_private_keys_are_loaded_into_slots_and_used_there(inside: Inside, code: str) -> None:
    pair = inside("GRSA", RB=2048)
    assert inside(code, RC=pair["RC"], BD=7)["SD"] == pair["SD"]
    signature = inside("RSAS", RC="BD7", RF=b"data", RG=4).octets("RH")
    pair.public_key().verify(signature, b"data", padding.PKCS1v15(), hashes.SHA256())


def test_wrapped_keys_come_back_with_and_without_their_usage(inside: Inside) -> None:
    wrapping = bytes(range(32))
    kek = inside.load(wrapping)
    key = inside("GPGS", CT=4, LU=f"{Usage.ENCRYPT:X}", FS=9)
    material = inside.hsm.major_key.unwrap(key["BG"]).material
    bare = inside("GPKW", AK=kek, BG=key["BG"])
    assert aes_key_unwrap_with_padding(wrapping, bare.octets("BK")) == material
    back = inside("GPKU", AK=kek, BK=bare["BK"], CT=4)
    assert back["AE"] == key["AE"]
    assert inside.hsm.major_key.unwrap(back["BG"]).usage == Usage(0)
    whole = inside("GPWK", AK=kek, BG=key["BG"])
    assert inside("GPUK", AK=kek, BK=whole["BK"])["BG"] == key["BG"]
    assert inside("GPUK", AK=kek, BK="00" * 24)["AN"] == "BK"


WRITES = ("GPKA", "LRSA", "ASYL", "GPKU", "GPCA", "GPKS", "GPKD", "TIME")


def writes(inside: Inside, count: int = 40) -> list[tuple[str, dict[str, object]]]:
    """Deterministic writes, in an order of chance that is the same in every run; some of them fail."""
    random = Random(5)
    aes, rsa = inside("GPGS", CT=6)["BG"], inside("GRSA", RB=1024)["RC"]
    kek = inside.load(bytes(range(32)))
    wrapped = inside("GPKW", AK=kek, BG=inside("GPGS", CT=4)["BG"])["BK"]
    certificate = inside("ASGC", RC=rsa, SU="somebody")["RT"]
    bodies: dict[str, dict[str, object]] = {
        "GPKA": {"BG": aes},
        "LRSA": {"RC": rsa},
        "ASYL": {"RC": rsa},
        "GPKU": {"AK": kek, "BK": wrapped, "CT": 4},
        "GPCA": {"RT": certificate},
        "GPKS": {"LU": "4"},
        "GPKD": {},
        "TIME": {"TM": "20300101000000"},
    }
    made = []
    for number in range(count):
        code = random.choice(WRITES)
        body = dict(bodies[code])
        if code != "TIME" and (code not in ("GPKA", "LRSA", "GPCA") or random.random() < 0.5):
            body["BD"] = random.randrange(6)
        if code in ("GPKA", "GPKS"):
            body["LA"] = f"key {number}"
        made.append((code, body))
    return made


def test_the_same_writes_make_the_same_table_and_the_same_answers(make_inside: Callable[..., Inside]) -> None:
    first, second = make_inside("hsm1"), make_inside("hsm2")
    seen = set()
    for code, body in writes(first):
        one, other = first(code, **body), second(code, **body)
        assert one.raw == other.raw
        seen.add((code, one.code == "ERRO"))
        assert first("GPKM").raw == second("GPKM").raw
        assert first("KMAP").raw == second("KMAP").raw
    assert {(code, False) for code in WRITES} | {("GPKD", True)} <= seen
    assert first("HASH")["SN"] != second("HASH")["SN"]


@pytest.mark.parametrize(
    ("code", "body"), [("GPGS", {"CT": 6, "BD": 1}), ("GRSA", {"RB": 1024, "BD": 1}), ("GECC", {"RA": 2, "BD": 1})]
)
def test_made_keys_differ_from_device_to_device(code: str, body: dict[str, object]) -> None:
    first, second = (Inside(Hsm(name=name, directory=OPEN), Session(OPEN)) for name in ("hsm1", "hsm2"))
    assert first(code, **body).raw != second(code, **body).raw
    assert first("GPKM").raw != second("GPKM").raw


@pytest.mark.parametrize("change", [{"LA": "other"}, {"LU": "1"}])
def test_a_table_that_differs_in_settings_only_is_not_alike(
    make_inside: Callable[..., Inside], change: dict[str, object]
) -> None:
    first, second = make_inside("hsm1"), make_inside("hsm2")
    key = first.load(bytes(16))
    for one, order in ((first, (7, 3)), (second, (3, 7))):
        for slot in order:  # whatever came first, the list rises
            one("GPKA", BG=key, BD=slot)
    assert first("GPKM").raw == second("GPKM").raw
    assert [entry.partition(":")[0] for entry in first("GPKM")["KT"].split(",")] == ["3", "7"]
    second("GPKS", BD=3, **change)
    assert first("GPKM").raw != second("GPKM").raw


def test_a_device_with_a_model_tells_it(make_inside: Callable[..., Inside]) -> None:
    inside = make_inside()
    assert inside("ECHO", AG="x").raw == b"[AOECHO;AGx;]"
    inside.hsm.model, inside.hsm.firmware = "Excrypt Plus", "7.1.0"
    assert inside("ECHO", AG="x").raw == b"[AOECHO;MDExcrypt Plus;FW7.1.0;AGx;]"
    assert (inside("HASH")["MD"], inside("HASH")["FW"]) == ("Excrypt Plus", "7.1.0")


def test_rkey_and_gwks_make_keys(inside: Inside) -> None:
    assert len(inside.hsm.major_key.unwrap(inside("RKEY", FS=2)["AK"]).material) == 32
    kek = inside.load(bytes(32))
    made = inside("GWKS", AK=kek, CT=4)
    assert inside("TWKS", AK=kek, BK=made["BK"])["BG"] == made["BG"]


def test_sddh_agrees_with_the_other_side(inside: Inside) -> None:
    pair = inside("GECC", RA=2)
    ours = ec.generate_private_key(ec.SECP256R1())
    theirs = ours.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    agreed = inside("SDDH", RC=pair["RC"], RD=theirs, BO=b"context")
    public = pair.public_key()
    secret = ours.exchange(ec.ECDH(), public)
    assert inside.hsm.major_key.unwrap(agreed["BG"]).material == X963KDF(hashes.SHA256(), 32, b"context").derive(secret)
