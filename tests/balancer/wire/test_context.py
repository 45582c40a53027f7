from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.context import put, restore
from balancer.wire.message import answers, parse_request

STAMP = b"7F3A99C21B"
_TAG = st.text("ABCDEFGHXYZ019", min_size=2, max_size=2).filter(lambda tag: tag not in ("AO", "AG"))
_VALUE = st.text([chr(n) for n in range(0x20, 0x7F) if chr(n) not in ";[]"], max_size=12)


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, bytes | None]:
    """A well-formed request and its ``AG`` text: first, in the middle, last, empty or absent; its last ``;`` or not."""
    fields = [tag + value for tag, value in draw(st.lists(st.tuples(_TAG, _VALUE), max_size=5))]
    context = draw(st.none() | _VALUE)
    if context is not None:
        fields.insert(draw(st.integers(0, len(fields))), "AG" + context)
    code = draw(st.sampled_from(("ECHO", "GPKD", "R2D2")))
    message = ";".join(["[AO" + code, *fields]) + draw(st.sampled_from((";]", "]")))
    return message.encode(), None if context is None else context.encode()


def others(message: bytes) -> list[bytes]:
    return [field for field in message[1:-1].split(b";") if not field.startswith(b"AG")]


@given(messages())
def test_a_stamped_request_is_the_request_with_another_ag(message: tuple[bytes, bytes | None]) -> None:
    request, context = message
    assert parse_request(request)[1] == context
    stamped = put(request, context, STAMP)
    assert parse_request(stamped) == (request[3:7], STAMP)
    assert others(stamped) == others(request)


@given(messages())
def test_an_answer_like_the_request_comes_back_as_it_would_have_been(message: tuple[bytes, bytes | None]) -> None:
    request, context = message
    stamped = put(request, context, STAMP)
    assert restore(stamped, context, STAMP) == request


@given(messages(), st.integers(0, 6), st.booleans())
def test_wherever_the_device_puts_it(message: tuple[bytes, bytes | None], place: int, ends: bool) -> None:
    request, context = message
    fields = others(request)

    def answer(text: bytes | None) -> bytes:
        found = list(fields)
        if text is not None:
            found.insert(1 + place % len(found), b"AG" + text)
        return b"[" + b";".join(found) + (b";]" if ends else b"]")

    restored = restore(answer(STAMP), context, STAMP)
    assert restored == answer(context)
    if context is not None:
        assert answers(restored, request[3:7], context)


@pytest.mark.parametrize("context", [None, b"", b"client"])
@pytest.mark.parametrize(
    "answer",
    [
        b"[AOECHO;]",
        b"[AOECHO;AG;]",
        b"[AOECHO;AGclient;]",
        b"[AOECHO;AG" + STAMP + b"0;]",  # of a later request
        b"[AOECHO;AG" + STAMP[:-1] + b";]",
        b"[AOECHO;BB" + STAMP + b";]",
        b"[AOECHO;BBAG" + STAMP + b";]",
        b"[AOECHO;AG" + STAMP + b";AG" + STAMP + b";]",
        b"[AOECHO;AG" + STAMP + b";BBTAG AG " + STAMP + b";]",
        b"[AOECHO;AGx" + STAMP + b";]",
    ],
)
def test_what_has_not_our_text_just_once_is_no_answer(answer: bytes, context: bytes | None) -> None:
    assert restore(answer, context, STAMP) is None


def test_answers_are_read_leniently() -> None:
    answer = b"[AOECHO;AOECHO;AG" + STAMP + b";bb\xff]"
    assert restore(answer, b"x", STAMP) == b"[AOECHO;AOECHO;AGx;bb\xff]"
    assert restore(answer, None, STAMP) == b"[AOECHO;AOECHO;bb\xff]"
