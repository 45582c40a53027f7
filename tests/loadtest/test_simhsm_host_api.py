"""A KMES: its Host API with nested commands, and none of an HSM's functions."""

from __future__ import annotations

from typing import cast

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from loadtest.simhsm import DEFAULT_DIRECTORY
from loadtest.simhsm.registry import Kind
from tests.support.emulated import Answer, Connect, Contexts, Inside, Start, new_inside


@pytest.fixture
def kmes() -> Inside:
    inside = new_inside(directory=DEFAULT_DIRECTORY, kind=Kind.KMS)
    assert inside("RKLG", DA="crypto1", CH="safest1").raw == b"[AORKLG;ANY;]"
    return inside


def nested(inside: Inside, name: str, **fields: object) -> Answer:
    return inside("RKRL", NC=name, **fields)


def public(answer: Answer) -> ec.EllipticCurvePublicKey:
    return cast(ec.EllipticCurvePublicKey, answer.public_key())


def test_a_key_is_made_listed_used_and_deleted_by_its_label(kmes: Inside) -> None:
    made = nested(kmes, "MAKE", LA="ssh-host", RA=2)
    assert made.raw.startswith(b"[AORKRL;NCMAKE;")
    nested(kmes, "MAKE", LA="other", RA=2)
    assert nested(kmes, "MAKE", LA="other", RA=2)["BB"] == "LABEL IN USE"
    assert nested(kmes, "KEYS")["LA"] == "ssh-host,other"
    assert nested(kmes, "PUBK", LA="ssh-host")["RD"] == made["RD"]
    signature = nested(kmes, "SIGN", LA="ssh-host", BO=b"session").octets("RH")
    public(made).verify(signature, b"session", ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        public(nested(kmes, "PUBK", LA="other")).verify(signature, b"session", ec.ECDSA(hashes.SHA256()))
    nested(kmes, "DROP", LA="ssh-host")
    for name, fields in (("SIGN", {"BO": b"x"}), ("PUBK", {}), ("DROP", {})):
        assert nested(kmes, name, LA="ssh-host", **fields).raw == b"[AOERRO;AM35;ANLA;BBKEY SLOT EMPTY;]"


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({}, b"[AOERRO;AM3;ANNC;BBMISSING FIELD;]"),
        ({"NC": "QQQQ"}, b"[AOERRO;AM4;ANNC;BBUNKNOWN COMMAND;]"),
        ({"NC": "MAKE", "LA": ""}, b"[AOERRO;AM39;ANLA;BBLABEL IN USE;]"),
    ],
)
def test_wrong_nested_commands_are_refused(kmes: Inside, fields: dict[str, object], answer: bytes) -> None:
    assert kmes("RKRL", **fields).raw == answer


def test_a_key_without_the_usage_does_not_sign(kmes: Inside) -> None:
    nested(kmes, "MAKE", LA="k", RA=2, LU="8")
    assert nested(kmes, "SIGN", LA="k", BO=b"x")["BB"] == "KEY USAGE"


def test_a_kmes_knows_no_functions_of_an_hsm_and_an_hsm_none_of_a_kmes(kmes: Inside) -> None:
    assert kmes("GPGS", CT=6)["BB"] == "UNKNOWN FUNCTION"
    assert new_inside()("RKRL", NC="KEYS")["BB"] == "UNKNOWN FUNCTION"


async def test_login_by_password_or_by_certificate(start: Start, connect: Connect, contexts: Contexts) -> None:
    device = await start(directory=DEFAULT_DIRECTORY, kind=Kind.KMS, tls=contexts.server)
    stranger = await connect(device, "ssh-gateway")
    assert (await stranger.call("RKRL", NC="KEYS"))["BB"] == "LOGIN REQUIRED"
    await stranger.call("RKLG", DA="crypto2", CH="safest2")
    assert (await stranger.call("RKRL", NC="KEYS")).code == "RKRL"
    assert (await (await connect(device, "crypto1")).call("RKRL", NC="KEYS")).code == "RKRL"
    assert [record.users for record in device.journal] == [None, None, ("crypto2",), ("crypto1",)]
