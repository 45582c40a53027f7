"""PINs and card values, each verified by cryptography of our own."""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from loadtest.simhsm.key import KeyKind
from tests.support.emulated import Inside


def iso0(clear, account):
    return (int(f"0{len(clear)}{clear}".ljust(16, "F"), 16) ^ int(account[-13:-1], 16)).to_bytes(8, "big")


def test_tpin_translates_a_block_between_keys(inside: Inside) -> None:
    first, second, account = bytes(range(24)), bytes(range(24, 48)), "4000001234562000"
    encryptor = Cipher(TripleDES(first), modes.CBC(bytes(8))).encryptor()
    block = encryptor.update(iso0("1234", account))
    keys = {"AX": inside.load(first, KeyKind.TDES), "BT": inside.load(second, KeyKind.TDES)}
    answer = inside("TPIN", AW=1, AL=block, AK=account, **keys)
    assert answer["BB"] == "Y"
    decryptor = Cipher(TripleDES(second), modes.CBC(bytes(8))).decryptor()
    assert decryptor.update(answer.octets("AL")) == iso0("1234", account)
    assert inside("TPIN", AW=1, AL=bytes(8), AK=account, **keys)["BB"] == "N"


def test_vpin_verifies_and_locks_after_three_wrong_pins(inside: Inside) -> None:
    account = "4000001234562000"
    keys = {"AX": inside.load(bytes(range(24)), KeyKind.TDES), "BV": inside.load(bytes(range(16)), KeyKind.TDES)}
    block = inside("EPIN", AX=keys["AX"], PN="1234", AK=account)["AL"]
    value = inside("GOFF", AL=block, AK=account, **keys)["PV"]
    assert inside("VPIN", AL=block, AK=account, PV=value, **keys)["BB"] == "Y"
    other = inside("EPIN", AX=keys["AX"], PN="4321", AK=account)["AL"]
    results = [inside("VPIN", AL=other, AK=account, PV=value, **keys)["BB"] for _ in range(4)]
    assert results == ["N", "N", "N", "L"]
    assert inside("VPIN", AL=block, AK=account, PV=value, **keys)["BB"] == "L"


def test_gcvv_gives_the_published_value(inside: Inside) -> None:
    # A worked example found in several public descriptions of the method.
    key = inside.load(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"), KeyKind.TDES)
    card = {"AK": "4123456789012345", "ED": "8701", "SC": "101"}
    assert inside("GCVV", BC=key, **card)["CV"] == "561"
    assert inside("VCVV", BC=key, CV="561", **card)["BB"] == "Y"
    assert inside("VCVV", BC=key, CV="562", **card)["BB"] == "N"


def test_remote_key_loading_keeps_its_order(inside: Inside) -> None:
    assert inside("PEDK", NO="00")["BB"] == "OUT OF ORDER"
    number = inside("PEDI")["NO"]
    made = inside("PEDK", NO=number)
    assert inside("PEDV", AE=made["AE"])["BB"] == "Y"
    assert inside("PEDK", NO=number)["BB"] == "OUT OF ORDER"
