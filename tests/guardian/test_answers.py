from __future__ import annotations

import pytest

from balancer.snapshot import Outcome
from balancer.wire.message import parse_request
from config.model import DEFAULT_ERRORS, ErrorText, Refusal
from guardian.answers import CLOSES, Answers

ANSWERS = Answers(DEFAULT_ERRORS)


@pytest.mark.parametrize(
    ("outcome", "answer", "closes"),
    [
        (Outcome.BLOCKED, b"[AOERRO;AM901;ANAO;BBFUNCTION BLOCKED;]", False),
        (Outcome.NO_DEVICE, b"[AOERRO;AM902;ANAO;BBNO DEVICE AVAILABLE;]", False),
        (Outcome.UNKNOWN, b"[AOERRO;AM903;ANAO;BBOUTCOME UNKNOWN;]", False),
        (Outcome.BUSY, b"[AOERRO;AM904;ANAO;BBBUSY;]", False),
        (Outcome.TIMEOUT, b"[AOERRO;AM905;ANAO;BBTIMED OUT;]", False),
        (Outcome.MALFORMED, b"[AOERRO;AM906;ANAO;BBMALFORMED MESSAGE;]", True),
        (Outcome.SHUTDOWN, b"[AOERRO;AM908;ANAO;BBSHUTTING DOWN;]", True),
        (Outcome.LOGIN_LOST, b"[AOERRO;AM909;ANAO;BBLOGIN LOST;]", True),
    ],
)
def test_each_end_has_its_answer(outcome: Outcome, answer: bytes, closes: bool) -> None:
    assert ANSWERS.to(outcome, None) == answer
    assert ANSWERS.to(outcome, b"mine") == answer[:-1] + b"AGmine;]"
    assert ANSWERS.to(outcome, b"") == answer[:-1] + b"AG;]"
    assert (outcome in CLOSES) is closes


def test_what_no_device_answered_always_has_one() -> None:
    for outcome in set(Outcome) - {Outcome.OK, Outcome.DEVICE_ERROR}:
        assert ANSWERS.to(outcome, None)


def test_too_long_has_its_own() -> None:
    assert ANSWERS.refusal(Refusal.TOO_LONG, None) == b"[AOERRO;AM907;ANAO;BBMESSAGE TOO LONG;]"


@pytest.mark.parametrize("refusal", Refusal)
def test_each_is_a_message_itself(refusal: Refusal) -> None:
    assert parse_request(ANSWERS.refusal(refusal, b"mine")) == (b"ERRO", b"mine")


def test_numbers_and_texts_are_settings() -> None:
    answers = Answers({**DEFAULT_ERRORS, Refusal.BUSY: ErrorText(number=7, text="LATER")})
    assert answers.to(Outcome.BUSY, None) == b"[AOERRO;AM7;ANAO;BBLATER;]"
