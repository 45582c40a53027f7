"""Communication, encryption, hashes and MACs, each verified by cryptography of our own."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from loadtest.simhsm.key import KeyKind, Usage
from tests.support.emulated import Inside


def test_echo_gives_back_its_context_and_nothing_else(inside: Inside) -> None:
    assert inside("ECHO", AG="hello").raw == b"[AOECHO;AGhello;]"
    assert inside("ECHO").raw == b"[AOECHO;]"


def test_rand_is_as_long_as_asked_and_never_the_same(inside: Inside) -> None:
    answers = {inside("RAND", BL=16)["BO"] for _ in range(50)}
    assert len(answers) == 50
    assert {len(answer) for answer in answers} == {32}
    assert inside("RAND", BL=4097)["AN"] == "BL"


def test_hash_tells_devices_apart(make_inside: Callable[..., Inside]) -> None:
    assert make_inside("hsm1")("HASH")["SN"] != make_inside("hsm2")("HASH")["SN"]
    assert make_inside("hsm1")("HASH")["AE"] == make_inside("hsm2")("HASH")["AE"]


def test_time_can_be_set_and_runs_on(inside: Inside) -> None:
    inside("TIME", TM="20300102030405")
    assert inside("TIME")["TM"] in ("20300102030405", "20300102030406")
    assert inside("TIME", TM="yesterday")["AN"] == "TM"


def test_stat_counts_requests_and_errors(inside: Inside) -> None:
    inside("ECHO")
    inside("NOPE")
    answer = inside("STAT")
    assert (answer["RQ"], answer["ER"], answer["KN"]) == ("3", "1", "0")


@pytest.mark.parametrize(("kind", "length"), [(4, 16), (5, 24), (6, 32)])
def test_gpgs_makes_a_key_that_its_check_value_proves(inside: Inside, kind: int, length: int) -> None:
    answer = inside("GPGS", FS=6, CT=kind, AK="D0000")
    key = inside.hsm.major_key.unwrap(answer["BG"])
    assert len(key.material) == length
    encryptor = Cipher(AES(key.material), modes.CBC(bytes(16))).encryptor()
    assert answer["AE"] == encryptor.update(bytes(16))[:3].hex().upper()


@pytest.mark.parametrize("mode", ["1", "2", "3"])
def test_gpse_encrypts_and_gpsd_gives_the_plain_text_back(inside: Inside, mode: str) -> None:
    material, vector, plain = bytes(range(32)), bytes(range(16)), b"seventeen octets."
    key = inside.load(material)
    answer = inside("GPSE", BG=key, CM=mode, IV=vector, BO=plain)
    if mode == "2":
        assert AESGCM(material).decrypt(vector, answer.octets("BO"), b"") == plain
    else:
        decryptor = Cipher(AES(material), {"1": modes.CBC, "3": modes.CTR}[mode](vector)).decryptor()
        decrypted = decryptor.update(answer.octets("BO"))
        assert decrypted == (plain + bytes([15]) * 15 if mode == "1" else plain)
    assert inside("GPSD", BG=key, CM=mode, IV=vector, BO=answer["BO"]).octets("BO") == plain


def test_gped_does_both(inside: Inside) -> None:
    key = inside("GPGS", CT=6)["BG"]
    encrypted = inside("GPED", OP="E", BG=key, BO=b"secret")["BO"]
    assert encrypted != b"secret".hex().upper()
    assert inside("GPED", OP="D", BG=key, BO=encrypted).octets("BO") == b"secret"


def test_damaged_ciphertext_is_an_error_answer(inside: Inside) -> None:
    key = inside("GPGS", CT=6)["BG"]
    good = inside("GPSE", BG=key, CM=2, IV=bytes(12), BO=b"secret").octets("BO")
    assert inside("GPSD", BG=key, CM=2, IV=bytes(12), BO=good[:-1] + bytes([good[-1] ^ 1])).code == "ERRO"
    assert inside("GPSD", BG=key, BO=b"short").code == "ERRO"


def test_a_cryptogram_works_on_every_device_of_the_same_major_key_and_on_no_other(
    make_inside: Callable[..., Inside],
) -> None:
    first, second, stranger = make_inside("hsm1"), make_inside("hsm2"), make_inside("hsm3", "other")
    key = first("GPGS", CT=6)["BG"]
    encrypted = first("GPSE", BG=key, BO=b"data")["BO"]
    assert second("GPSE", BG=key, BO=b"data")["BO"] == encrypted
    assert second("GPSD", BG=key, BO=encrypted).octets("BO") == b"data"
    refused = stranger("GPSD", BG=key, BO=encrypted, AG="7")
    assert refused.raw == b"[AOERRO;AM34;ANBG;BBINVALID TOKEN;AG7;]"


def test_a_key_does_only_what_its_usage_says(inside: Inside) -> None:
    key = inside("GPGS", CT=6, LU=f"{Usage.ENCRYPT:X}")["BG"]
    encrypted = inside("GPSE", BG=key, BO=b"data")["BO"]
    assert inside("GPSD", BG=key, BO=encrypted)["BB"] == "KEY USAGE"


@pytest.mark.parametrize(("number", "name"), [(1, "sha1"), (3, "sha224"), (4, "sha256"), (5, "sha384"), (6, "sha512")])
def test_hashes_and_hmacs_are_right(inside: Inside, number: int, name: str) -> None:
    assert inside("GHSH", RG=number, BO=b"abc").octets("CF") == hashlib.new(name, b"abc").digest()
    key = inside.load(b"k" * 20, KeyKind.SECRET)
    assert inside("HMAC", RG=number, AR=key, BO=b"abc", BN=0).octets("CF") == hmac.digest(b"k" * 20, b"abc", name)


def test_hmac_takes_a_slot_as_in_the_public_example(inside: Inside) -> None:
    inside("GPKA", BG=inside.load(b"k" * 32, KeyKind.SECRET), BD=12)
    answer = inside("HMAC", RG=3, AR="BD12", BO=b"abc", BN=0)
    assert answer.octets("CF") == hmac.digest(b"k" * 32, b"abc", "sha224")


def test_gpmc_is_a_cmac_and_vmac_verifies_it(inside: Inside) -> None:
    key = inside.load(bytes(16))
    expected = CMAC(AES(bytes(16)))
    expected.update(b"abc")
    answer = inside("GPMC", BG=key, BO=b"abc")
    assert answer.octets("CF") == expected.finalize()
    assert inside("VMAC", BG=key, BO=b"abc", CF=answer["CF"])["BB"] == "Y"
    assert inside("VMAC", BG=key, BO=b"abd", CF=answer["CF"])["BB"] == "N"
