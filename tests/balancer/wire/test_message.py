from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from balancer.wire.errors import Malformed, WireError
from balancer.wire.frames import request_decoder
from balancer.wire.message import answers, context_of_refused, continues, field, is_error, parse_request
from config.model import Framing
from tests.support.vectors import refused

UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
PRINTABLE = "".join(chr(n) for n in range(0x20, 0x7F) if chr(n) not in ";[]")

codes = st.text(st.sampled_from(UPPER), min_size=4, max_size=4)
tags = st.text(st.sampled_from(UPPER), min_size=2, max_size=2) | st.sampled_from(["AG", "BB", "BN"])
values = st.text(st.sampled_from(PRINTABLE), max_size=12)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Anything that the rules allow, and now and then a second AO or AG, which they do not."""
    fields = [f"AO{draw(codes)}", *(tag + value for tag, value in draw(st.lists(st.tuples(tags, values), max_size=6)))]
    return f"[{';'.join(fields)}{draw(st.sampled_from(['', ';']))}]".encode()


@st.composite
def valid(draw: st.DrawFn) -> bytes:
    """Anything that the rules allow."""
    others = st.tuples(tags.filter(lambda tag: tag not in ("AO", "AG")), values)
    entries = [tag + value for tag, value in draw(st.lists(others, max_size=6))]
    if draw(st.booleans()):
        entries.insert(draw(st.integers(0, len(entries))), f"AG{draw(values)}")
    return f"[{';'.join([f'AO{draw(codes)}', *entries])}{draw(st.sampled_from(['', ';']))}]".encode()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    message = bytearray(draw(messages()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(message) - 1))
        kind = draw(st.sampled_from(["change", "insert", "remove", "double"]))
        byte = draw(st.sampled_from(b"[];AOao\x00\n\x7f\x80 -Gg1") | st.integers(0, 255))
        if kind == "change":
            message[at] = byte
        elif kind == "insert":
            message.insert(at, byte)
        elif kind == "remove" and len(message) > 1:
            del message[at]
        else:
            message[at:at] = message[at : at + draw(st.integers(1, 8))]
    return bytes(message)


def read_slowly(frame: bytes) -> tuple[bytes, bytes | None] | None:
    """The rules of the contract, one after the other and letter by letter; None where the frame is no message."""
    text = frame.decode("latin-1")
    if len(text) < 2 or text[0] != "[" or text[-1] != "]":
        return None
    inside = text[1:-1]
    for letter in inside:
        if letter in "[]" or not 0x20 <= ord(letter) <= 0x7E:
            return None
    fields = inside.split(";")
    if fields[-1] == "" and len(fields) > 1:
        fields.pop()
    context = None
    for number, entry in enumerate(fields):
        tag, value = entry[:2], entry[2:]
        if len(tag) != 2 or any(letter not in UPPER for letter in tag):
            return None
        if (tag == "AO") != (number == 0):
            return None
        if number == 0 and (len(value) != 4 or any(letter not in UPPER for letter in value)):
            return None
        if tag == "AG":
            if context is not None:
                return None
            context = value.encode()
    return fields[0][2:].encode(), context


def read(*parts: bytes) -> None:
    """As a client's bytes are read. Raises WireError."""
    decoder = request_decoder(Framing.EXCRYPT, 4096)
    for part in parts:
        if part:
            decoder.receive(part)
            while (frame := decoder.next_frame()) is not None:
                parse_request(frame)


def parsed(frame: bytes) -> tuple[bytes, bytes | None] | None:
    try:
        return parse_request(frame)
    except Malformed:
        return None


class TestParsing:
    @given(messages())
    def test_what_the_rules_allow_is_read_as_they_say(self, frame: bytes) -> None:
        assert parsed(frame) == read_slowly(frame)

    @given(mutated() | st.binary(min_size=1, max_size=40))
    @example(b"[AO1234")
    @example(b"[AOECHO;AG7]x;")
    @example(b"[AOECHO;]\n")
    @example("[AOECHO;AGé]".encode())
    def test_what_they_do_not_is_refused(self, frame: bytes) -> None:
        assert parsed(frame) == read_slowly(frame)

    @given(valid(), st.data())
    def test_field_finds_the_first_value(self, frame: bytes, data: st.DataObject) -> None:
        entries = [entry for entry in frame[1:-1].split(b";")[1:] if entry]
        tag = data.draw(st.sampled_from([entry[:2] for entry in entries] or [b"ZZ"]))
        values = [entry[2:] for entry in entries if entry[:2] == tag]
        assert field(frame, tag) == (values[0] if values else None)

    @pytest.mark.parametrize(
        ("frame", "code", "context"),
        [
            (b"[AOECHO;AGhello;]", b"ECHO", b"hello"),
            (b"[AOECHO;AGhello]", b"ECHO", b"hello"),
            (b"[AOECHO;]", b"ECHO", None),
            (b"[AOECHO]", b"ECHO", None),
            (b"[AO1234;FT;]", b"1234", None),
            (b"[AOECHO;AG;]", b"ECHO", b""),
            (b"[AOECHO;AG]", b"ECHO", b""),
            (b"[AOECHO;BBAGx;]", b"ECHO", None),
            (b"[AOECHO;BBAOTIME;]", b"ECHO", None),
            (b"[AOECHO;AG {}|~!\"#$%&'()*+,-./:<=>?@\\^_`;]", b"ECHO", b" {}|~!\"#$%&'()*+,-./:<=>?@\\^_`"),
            (b"[AOGPGS;FS6;FS6;BB;CT6;AKD0000;]", b"GPGS", None),
        ],
    )
    def test_valid(self, frame: bytes, code: bytes, context: bytes | None) -> None:
        assert parse_request(frame) == (code, context)

    @pytest.mark.parametrize("vector", [v for v in refused() if v.malformed], ids=lambda vector: repr(vector.message))
    def test_the_corpus(self, vector) -> None:  # type: ignore[no-untyped-def]
        """Each is refused by the decoder or by the parser, whole or cut anywhere."""
        message: bytes = vector.message
        for cut in range(len(message) + 1):
            with pytest.raises(WireError) as info:
                read(message[:cut], message[cut:])
            assert not any(word in str(info.value) for word in ("ECHO", "GPKD"))

    @given(mutated())
    def test_a_refusal_says_nothing_of_the_frame(self, frame: bytes) -> None:
        try:
            parse_request(frame)
        except Malformed as exc:
            assert str(exc) in {  # noqa: PT017
                "a bracket inside the message",
                "a byte that is not printable ASCII",
                "AO is not the first field",
                "the code is not four upper-case letters or digits",
                "a field without a tag of two upper-case letters or digits",
                "two AO fields",
                "two AG fields",
            }


class TestContextOfRefused:
    @pytest.mark.parametrize(
        ("frame", "context"),
        [
            (b"[AOecho;AG7;]", b"7"),
            (b"[AOECHO;AG7;AOTIME;]", b"7"),
            (b"[AOECHO;;AG7]", b"7"),
            (b"[AOECHO;AG7;AG8;]", None),
            (b"[AOECHO;AG7\x00;]", None),
            (b"[AOECHO;AG7;[;]", None),
            (b"[AOECHO;AG7", None),
            (b"[AOECHO;AG7]x", None),
            (b"[AOECHO;AG7]x;", None),
            (b"x[AOECHO;AG7;]", None),
            (b"[AOecho;]", None),
        ],
    )
    def test_what_can_be_said_without_guessing(self, frame: bytes, context: bytes | None) -> None:
        assert context_of_refused(frame) == context

    @given(mutated())
    def test_it_can_always_stand_in_an_answer(self, frame: bytes) -> None:
        context = context_of_refused(frame)
        if context is not None:
            assert parse_request(b"[AOERRO;AM906;ANAO;BBX;AG" + context + b";]") == (b"ERRO", context)


class TestAnswers:
    @pytest.mark.parametrize(
        ("answer", "context", "right"),
        [
            (b"[AOECHO;AG7;]", b"7", True),
            (b"[AOECHO;AG7]", b"7", True),
            (b"[AOECHO;BBY;AG7;]", b"7", True),
            (b"[AOECHO;AG;]", b"", True),
            (b"[AOECHO;AG]", b"", True),
            (b"[AOERRO;AM34;ANAO;BBINVALID TOKEN;AG7;]", b"7", True),
            (b"[AOECHO;AOECHO;AG7;]", b"7", True),
            (b"[AOECHO;]", None, True),
            (b"[AOECHO]", None, True),
            (b"[AOECHO;AG8;]", None, True),
            (b"[AOERRO;AM34;]", None, True),
            (b"[AOECHO;AG8;]", b"7", False),
            (b"[AOECHO;AG77;]", b"7", False),
            (b"[AOECHO;AG7;]", b"77", False),
            (b"[AOECHO;AG7;]", b"", False),
            (b"[AOECHO;]", b"7", False),
            (b"[AOECHO;]", b"", False),
            (b"[AOECHO;BBAG7;]", b"7", False),
            (b"[AOERRO;AM34;]", b"7", False),
            (b"[AOTIME;AG7;]", b"7", False),
            (b"[AOTIME;AOECHO;AG7;]", b"7", False),
            (b"[AOECHOS;AG7;]", b"7", False),
            (b"[AOECH]", None, False),
            (b"[AOECHO", None, False),
            (b"[aoECHO;]", None, False),
            (b"[]", None, False),
            (b"", None, False),
        ],
    )
    def test_the_code_and_the_text_must_be_the_requests(
        self, answer: bytes, context: bytes | None, right: bool
    ) -> None:
        assert answers(answer, b"ECHO", context) is right

    @given(valid())
    def test_what_repeats_code_and_text_is_an_answer(self, frame: bytes) -> None:
        code, context = parse_request(frame)
        assert answers(frame, code, context)
        assert answers(frame, code, None)
        assert not answers(frame, code, b"-" if context is None else context + b"x")
        assert answers(frame, b"#", context) is (code == b"ERRO")

    def test_only_erro_is_a_general_failure(self) -> None:
        assert is_error(b"[AOERRO;AM1;]")
        for answer in (b"[AOECHO;BBN;]", b"[AOVPIN;BBERRO;]", b"[AOECHO;AOERRO;]"):
            assert not is_error(answer)


class TestParts:
    @pytest.mark.parametrize(
        ("request_", "part"),
        [
            (b"[AORSAS;BN1;]", True),
            (b"[AORSAS;BN1]", True),
            (b"[AORSAS;RC00;CHabc;BN0;]", True),
            (b"[AORSAS;BN0;]", False),
            (b"[AORSAS;BN11;]", False),
            (b"[AORSAS;CH;BN0;]", False),
            (b"[AORSAS;CH]", False),
            (b"[AORSAS;BBBN1;]", False),
            (b"[AORSAS;]", False),
            # Which of two counts is the device's secret.
            (b"[AORSAS;BN0;BN1;]", True),
            (b"[AORSAS;CH;CHabc;]", True),
        ],
    )
    def test_more_to_come_or_a_state_returned(self, request_: bytes, part: bool) -> None:
        assert continues(request_) is part
