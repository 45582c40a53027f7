"""Key pairs, signatures and certificates, each verified by cryptography of our own."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from loadtest.simhsm.keypool import KeyPool
from tests.support.emulated import Inside


def test_grsa_makes_a_real_key_whose_signatures_verify(inside: Inside) -> None:
    pair = inside("GRSA", RB=2048, CZ="G", BJ=6, RA=10001, KB=1, KF=1, SP=1)
    public = pair.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    assert (public.key_size, public.public_numbers().e) == (2048, 65537)
    assert pair["SD"] == hashlib.sha1(pair.octets("RD")).hexdigest().upper()
    signature = inside("RSAS", RC=pair["RC"], RF=b"data", RG=4, BN=0, KY=1, ZA=1).octets("RH")
    public.verify(signature, b"data", padding.PKCS1v15(), hashes.SHA256())


def test_two_grsa_never_give_the_same_key() -> None:
    pool = KeyPool()
    pool.fill(2, 1024)
    keys = [pool.take(1024, 65537).private_numbers().p for _ in range(3)]  # two of the pool, one made now
    assert len(set(keys)) == 3


@pytest.mark.parametrize(("number", "curve"), [(1, "secp224r1"), (2, "secp256r1"), (3, "secp384r1"), (4, "secp521r1")])
def test_gecc_makes_a_key_of_the_curve_and_asys_signs_with_it(inside: Inside, number: int, curve: str) -> None:
    pair = inside("GECC", BJ=6, RA=number, KB=1, CZ="G")
    public = pair.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == curve
    signature = inside("ASYS", RC=pair["RC"], RG=4, BO=b"data")["RH"]
    public.verify(bytes.fromhex(signature), b"data", ec.ECDSA(hashes.SHA256()))
    assert inside("ASYV", RD=pair["RD"], RG=4, BO=b"data", RH=signature)["BB"] == "Y"
    assert inside("ASYV", RD=pair["RD"], RG=4, BO=b"date", RH=signature)["BB"] == "N"


def test_pss_and_bare_signatures_verify(inside: Inside) -> None:
    pair = inside("GRSA", RB=2048)
    public = pair.public_key()
    pss = inside("ASYS", RC=pair["RC"], RG=4, ZA=2, BO=b"data").octets("RH")
    public.verify(pss, b"data", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    bare = inside("RSAS", RC=pair["RC"], RG=0, RF=b"exactly this", BN=0)["RH"]
    recovered = public.recover_data_from_signature(bytes.fromhex(bare), padding.PKCS1v15(), utils.NoDigestInfo())
    assert recovered == b"exactly this"
    verified = [inside("RSAV", RD=pair["RD"], RG=0, RF=data, RH=bare)["BB"] for data in (b"exactly this", b"other")]
    assert verified == ["Y", "N"]
    assert inside("GPSV", OP="V", RC=pair["RC"], RG=4, ZA=2, BO=b"data", RH=pss)["BB"] == "Y"


def test_rsas_in_parts_signs_all_of_them(inside: Inside) -> None:
    pair = inside("GRSA", RB=2048)
    first = inside("RSAS", RC=pair["RC"], RF=b"one ", RG=4, BN=1, ZA=1)
    assert first["BN"] == "CONTINUE"
    second = inside("RSAS", CH=first["CH"], RF=b"two ", BN=1)
    last = inside("RSAS", CH=second["CH"], RF=b"three", BN=0)
    pair.public_key().verify(last.octets("RH"), b"one two three", padding.PKCS1v15(), hashes.SHA256())
    assert inside("RSAS", CH=second["CH"], RF=b"again", BN=0)["AN"] == "CH"


def test_rsav_in_parts_verifies(inside: Inside) -> None:
    pair = inside("GRSA", RB=2048)
    signature = inside("RSAS", RC=pair["RC"], RF=b"one two", RG=4)["RH"]
    first = inside("RSAV", RD=pair["RD"], RF=b"one ", RG=4, BN=1)
    assert inside("RSAV", CH=first["CH"], RF=b"two", BN=0, RH=signature)["BB"] == "Y"
    assert inside("RSAV", RC=pair["RC"], RF=b"one  two", RG=4, RH=signature)["BB"] == "N"


@pytest.mark.parametrize("pad", ["1", "2"])
def test_gpsr_encrypts_decrypts_signs_and_recovers(inside: Inside, pad: str) -> None:
    pair = inside("GRSA", RB=2048)
    encrypted = inside("GPSR", OP="E", RD=pair["RD"], ZA=pad, BO=b"data")["BO"]
    assert inside("GPSR", OP="D", RC=pair["RC"], ZA=pad, BO=encrypted).octets("BO") == b"data"
    signature = inside("GPSR", OP="S", RC=pair["RC"], BO=b"data")["BO"]
    assert inside("GPSR", OP="V", RD=pair["RD"], BO=signature).octets("BO") == b"data"


def test_public_halves_can_be_read_from_private_keys(inside: Inside) -> None:
    pair = inside("GRSA", RB=2048)
    numbers = pair.public_key().public_numbers()
    assert inside("APFP", RC=pair["RC"])["RD"] == pair["RD"]
    assert inside("RDPK", RC=pair["RC"])["RD"] == pair["RD"]
    parts = inside("RPFP", RC=pair["RC"])
    assert (int(parts["RM"], 16), int(parts["RE"], 16)) == (numbers.n, numbers.e)


def test_bare_digest_of_ecdsa_is_signed_as_it_is(inside: Inside) -> None:
    pair = inside("GECC", RA=2)
    digest = hashlib.sha256(b"data").digest()
    signature = inside("ASYS", RC=pair["RC"], RG=0, BO=digest).octets("RH")
    pair.public_key().verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


def test_certificates_are_made_signed_and_verified(inside: Inside) -> None:
    root, leaf = inside("GRSA", RB=2048), inside("GECC", RA=2)
    ca = inside("ASGC", RC=root["RC"], SU="Root")
    request = inside("ASYR", RC=leaf["RC"], SU="Leaf")
    made = inside("ASSR", RC=root["RC"], RT=ca["RT"], RQ=request["RQ"])
    certificate = x509.load_der_x509_certificate(made.octets("RT"))
    certificate.verify_directly_issued_by(x509.load_der_x509_certificate(ca.octets("RT")))
    assert certificate.subject.rfc4514_string() == "CN=Leaf"
    trusted = inside("AVPC", RT=made["RT"], RI=ca["RT"])
    assert trusted["BB"] == "Y"
    assert inside("ADPK", RP=trusted["RP"])["RD"] == leaf["RD"]
    assert inside("AVPC", RT=ca["RT"], RI=made["RT"])["BB"] == "N"
    pem = inside("RCCN", RN=13, RT=ca["RT"])
    assert pem.octets("RT").startswith(b"-----BEGIN CERTIFICATE-----")
    assert inside("RCCN", RN=31, RT=pem["RT"])["RT"] == ca["RT"]
    assert inside("GPCA", RT=ca["RT"], BD=4)["BD"] == "4"
    assert inside("GPKR", BD=4)["CE"] == "Y"
