from __future__ import annotations

from balancer.login import Login, LoginRules, LoginTries
from config.model import Sessions


def test_a_login_shows_nothing_and_is_overwritten() -> None:
    login = Login(b"[AORKLG;DAme;CHsecret;]", b"RKLG", None)
    copy = login.copy()
    assert "secret" not in repr(login) + str(login)
    login.forget()
    assert login.request == bytes(23)
    assert copy.request == b"[AORKLG;DAme;CHsecret;]"


def test_an_answer_says_yes_or_no_or_asks_for_more() -> None:
    rules = LoginRules(Sessions())
    cases = {
        b"[AORKLG;ANY;]": (True, False),
        b"[AORKLG;ANN;]": (False, True),
        b"[AOERRO;ANY;]": (False, True),
        b"[AORKLG;BInonce;]": (False, False),
    }
    for answer, verdict in cases.items():
        assert (rules.succeeded(b"RKLG", answer), rules.refused(b"RKLG", answer)) == verdict
    assert not rules.succeeded(b"RKLG", None)


def test_a_login_with_a_token_holds_on_one_device_only() -> None:
    rules = LoginRules(Sessions())
    assert rules.holds_elsewhere(b"[AORKLG;ANY;]")
    assert not rules.holds_elsewhere(b"[AORKLG;ANY;JWx;]")
    assert not LoginRules(Sessions(replay=False)).holds_elsewhere(b"[AORKLG;ANY;]")


def test_only_an_error_asks_for_a_login() -> None:
    rules = LoginRules(Sessions())
    assert rules.asks_for_login(b"[AOERRO;BBLOGIN REQUIRED;]")
    assert not rules.asks_for_login(b"[AOECHO;BBLOGIN REQUIRED;]")
    assert not rules.asks_for_login(b"[AOERRO;BBINVALID;]")


def test_refused_tries_count_within_their_window_and_by_identity() -> None:
    tries = LoginTries()
    for when in (0.0, 1.0, 2.0):
        assert tries.begin("one", 3, 10.0, when) is True
        tries.end("one", when, good=False)
    assert tries.begin("one", 3, 10.0, 9.9) is False
    assert tries.begin("two", 1, 10.0, 9.9) is True
    assert tries.begin("one", 3, 10.0, 10.0) is True, "the first is out of the window"


def test_a_try_that_is_not_answered_counts_until_it_is() -> None:
    tries = LoginTries()
    assert [tries.begin("one", 3, 10.0, 0.0) for _ in range(4)] == [True, True, True, None]
    tries.end("one", 1.0, good=True)
    assert tries.begin("one", 3, 10.0, 1.0) is True
    tries.end("one", 1.0, good=False)
    assert tries.begin("one", 3, 10.0, 1.0) is None, "two are open and one was refused"


def test_a_good_login_takes_back_only_its_own_try() -> None:
    tries = LoginTries()
    for good in (False, False, True, True):
        tries.begin("one", 3, 10.0, 0.0)
        tries.end("one", 0.0, good=good)
    tries.refused("one", 0.0)
    assert tries.begin("one", 3, 10.0, 1.0) is False
