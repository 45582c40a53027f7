"""Who a connection is: every form of login, what ends one, wrong passwords, and what the journal says of it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from loadtest.simhsm import DEFAULT_DIRECTORY, Outcome
from loadtest.simhsm.accounts import TOKEN_LIFE, LoginResult, LoginTry
from loadtest.simhsm.hsm import Refusals
from loadtest.simhsm.session import Session, SessionLimits
from tests.support.emulated import Connect, Inside, Start, new_inside
from tests.support.tls import DAY, NOW, Issued, authority, issue

RIGHT = {"DA": "crypto1", "CH": "safest1"}
WRONG = {"DA": "crypto1", "CH": "wrong"}


def device(logins_required: int = 1, limits: SessionLimits = SessionLimits(), **given: Any) -> Inside:  # noqa: B008
    inside = new_inside(directory=DEFAULT_DIRECTORY, **given)
    inside.session = Session(DEFAULT_DIRECTORY, logins_required, limits)
    return inside


def another_connection(inside: Inside) -> Inside:
    """A new connection to the same device."""
    other = Inside(inside.hsm, Session(inside.hsm.directory))
    other.now = inside.now
    return other


# what ends a login


@pytest.mark.parametrize(
    "limits",
    [SessionLimits(idle=60), SessionLimits(age=60), SessionLimits(requests=1)],
    ids=["idle", "age", "requests"],
)
@pytest.mark.parametrize(
    ("refusals", "before", "after"),
    [
        (Refusals(), (b"AM20", b"LOGIN REQUIRED"), (b"AM20", b"LOGIN REQUIRED")),
        (Refusals(expired=(77, "SESSION ENDED")), (b"AM20", b"LOGIN REQUIRED"), (b"AM77", b"SESSION ENDED")),
        (Refusals(login_required=(5, "WHO ARE YOU")), (b"AM5", b"WHO ARE YOU"), (b"AM5", b"WHO ARE YOU")),
    ],
)
def test_a_login_ends_by_its_limits_and_the_device_asks_for_another(
    limits: SessionLimits, refusals: Refusals, before: tuple[bytes, bytes], after: tuple[bytes, bytes]
) -> None:
    inside = device(limits=limits, refusals=refusals)
    assert inside("RKEY", FS=2).raw == b"[AOERRO;%b;ANAO;BB%b;]" % before
    inside("RKLG", **RIGHT)
    inside.now += 59
    assert inside("RKEY", FS=2).code == "RKEY"
    inside.now += 61
    assert inside("RKEY", FS=2).raw == b"[AOERRO;%b;ANAO;BB%b;]" % after
    assert inside("ECHO").code == "ECHO"  # the connection stays, anonymous
    inside("RKLG", **RIGHT)
    assert inside("RKEY", FS=2).code == "RKEY"


def test_idle_counts_from_the_last_request_and_age_from_the_login() -> None:
    for limits, survives in ((SessionLimits(idle=60), True), (SessionLimits(age=60), False)):
        inside = device(limits=limits)
        inside("RKLG", **RIGHT)
        for _ in range(2):
            inside.now += 40
            answer = inside("RKEY", FS=2)
        assert (answer.code == "RKEY") is survives


def test_a_login_that_is_half_done_has_not_expired() -> None:
    inside = device(2, SessionLimits(idle=60), refusals=Refusals(expired=(77, "SESSION ENDED")))
    inside("RKLG", **RIGHT)
    inside.now += 61
    assert inside("RKEY", FS=2)["AM"] == "77"
    inside("RKLG", **RIGHT)
    assert inside("RKEY", FS=2)["AM"] == "20"


# wrong passwords


def test_wrong_passwords_lock_the_account_on_this_device_until_it_is_unlocked() -> None:
    inside = device(wrong_passwords=3)
    for _ in range(2):
        assert inside("RKLG", **WRONG).raw == b"[AORKLG;ANN;]"
    assert inside("RKLG", **RIGHT).raw == b"[AORKLG;ANY;]"  # which forgives
    for _ in range(3):
        assert another_connection(inside)("RKLG", **WRONG).raw == b"[AORKLG;ANN;]"
    assert inside("RKLG", **RIGHT).raw == b"[AORKLG;ANN;LKY;]"
    assert inside("RKLG", DA="crypto2", CH="safest2")["AN"] == "Y"
    inside.hsm.restart()
    assert another_connection(inside)("RKLG", **RIGHT)["AN"] == "N"
    inside.hsm.accounts.unlock("crypto1")
    assert another_connection(inside)("RKLG", **RIGHT)["AN"] == "Y"
    assert device(wrong_passwords=3)("RKLG", **RIGHT)["AN"] == "Y"  # another device has counts of its own


def test_a_name_that_nobody_has_is_not_counted() -> None:
    inside = device(wrong_passwords=1)
    for _ in range(3):
        assert inside("RKLG", DA="nobody", CH="x").raw == b"[AORKLG;ANN;]"
    assert inside.hsm.accounts.wrong == {}


# tokens


def test_a_given_token_logs_in_for_ten_minutes_on_its_own_device() -> None:
    inside = device()
    token = inside("RKLG", AP="token-of-crypto1")["JW"]
    other = another_connection(inside)
    assert other("RKLG", JW=token).raw == b"[AORKLG;ANY;]"
    assert other.session.users == ("crypto1",)
    assert device()("RKLG", JW=token)["AN"] == "N"
    late = another_connection(inside)
    late.now += TOKEN_LIFE
    assert late("RKLG", JW=token)["AN"] == "N"
    inside.hsm.restart()
    assert other("RKLG", JW=token)["AN"] == "N"


# certificate, nonce, signature


CA = authority("Login CA")
DIRECTORY = attrs.evolve(DEFAULT_DIRECTORY, authorities=(CA.certificate,))


def two_steps(inside: Inside, who: Issued, signer: Issued | None = None) -> list[str]:
    """What the steps are answered: AN, or NO for a nonce."""
    first = inside("RKLG", RT=who.der)
    if "NO" not in first.fields:
        return [first["AN"]]
    key = (signer or who).key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return ["NO", inside("RKLG", RH=key.sign(first.octets("NO"), ec.ECDSA(hashes.SHA256())))["AN"]]


def test_a_certificate_logs_in_by_signing_a_nonce() -> None:
    inside = new_inside(directory=DIRECTORY)
    assert two_steps(inside, issue(CA, "crypto2", number=3)) == ["NO", "Y"]
    assert inside.session.users == ("crypto2",)


@pytest.mark.parametrize(
    ("who", "steps"),
    [
        (issue(CA, "nobody", number=3), ["N"]),
        (issue(authority("Other CA", number=4), "crypto2", number=3), ["N"]),
        (issue(CA, "crypto2", number=3, start=NOW - 2 * DAY, end=NOW - DAY), ["N"]),
    ],
    ids=["unknown", "foreign", "expired"],
)
def test_other_certificates_get_no_nonce(who: Issued, steps: list[str]) -> None:
    inside = new_inside(directory=DIRECTORY)
    assert two_steps(inside, who) == steps
    assert inside.session.users == ()


def test_a_nonce_is_for_one_try_of_one_connection_and_one_key() -> None:
    inside = new_inside(directory=DIRECTORY)
    who = issue(CA, "crypto2", number=3)
    assert two_steps(inside, who, signer=issue(CA, "crypto1", number=5)) == ["NO", "N"]
    assert isinstance(who.key, ec.EllipticCurvePrivateKey)
    nonce = inside("RKLG", RT=who.der).octets("NO")
    proof = who.key.sign(nonce, ec.ECDSA(hashes.SHA256()))
    assert another_connection(inside)("RKLG", RH=proof)["BB"] == "NO NONCE WAS GIVEN"
    assert inside("RKLG", RH=proof)["AN"] == "Y"
    assert inside("RKLG", RH=proof)["BB"] == "NO NONCE WAS GIVEN"


# the journal


async def test_the_journal_says_as_whom_each_request_ran(start: Start, connect: Connect) -> None:
    device = await start(
        directory=DEFAULT_DIRECTORY, logins_required=2, session_limits=SessionLimits(requests=2), wrong_passwords=1
    )
    caller = await connect(device)
    steps: list[tuple[str, dict[str, object]]] = [
        ("ECHO", {}),
        ("RKLG", dict(RIGHT)),
        ("ECHO", {}),
        ("RKLG", {"DA": "crypto2", "CH": "safest2"}),
        ("RKEY", {"FS": 2}),
        ("RKEY", {"FS": 2}),
        ("RKEY", {"FS": 2}),  # the limit has ended the login before it ran
        ("RKLG", dict(WRONG)),
        ("RKLG", dict(RIGHT)),
        ("RKLG", {"AP": "no"}),
    ]
    for code, fields in steps:
        await caller.call(code, **fields)
    one, both = ("crypto1",), ("crypto1", "crypto2")
    assert [record.users for record in device.journal] == [None, None, one, one, both, both, None, None, None, None]
    refused = [record.outcome is Outcome.REFUSED for record in device.journal]
    assert refused == [False] * 6 + [True] + [False] * 3
    assert [(record.error, record.connection) for record in device.journal][6] == (20, 1)
    assert [record.login for record in device.journal.logins()] == [
        LoginTry("crypto1", LoginResult.PARTIAL),
        LoginTry("crypto2", LoginResult.ACCEPTED),
        LoginTry("crypto1", LoginResult.REFUSED),
        LoginTry("crypto1", LoginResult.LOCKED),
        LoginTry(None, LoginResult.REFUSED),
    ]


async def test_the_journal_says_which_requests_changed_the_table(start: Start, connect: Connect) -> None:
    device = await start()
    caller = await connect(device)
    for code, fields in (("GPGS", {"CT": 6, "BD": 1}), ("GPKM", {}), ("GPKD", {"BD": 2}), ("GPKD", {"BD": 1})):
        await caller.call(code, **fields)
    digests = [record.table for record in device.journal]
    assert [digest is not None for digest in digests] == [True, False, False, True]
    assert digests[-1] == device.hsm.table.digest() != digests[0]
