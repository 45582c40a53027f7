from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.errors import FramingLost, MessageTooLong, WireError
from balancer.wire.frames import SHORT, BracketDecoder, Decoder, LengthDecoder, answer_decoder, encode, request_decoder
from config.model import Framing
from tests.support.core import encoded

LIMIT = 64
LENGTHS = (Framing.LENGTH2, Framing.LENGTH4)

bodies = st.text(st.sampled_from("AOECH;xyz019 .-"), max_size=40).map(lambda text: b"[%b]" % text.encode())
gaps = st.text(st.sampled_from("\r\n \t"), max_size=4).map(str.encode)
cuts = st.lists(st.integers(0, 400), max_size=12)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


def decode(decoder: Decoder, parts: list[bytes]) -> tuple[list[bytes], type[WireError] | None]:
    """All frames, and how it ended."""
    frames = []
    try:
        for part in parts:
            decoder.receive(part)
            while (frame := decoder.next_frame()) is not None:
                frames.append(frame)
    except WireError as exc:
        return frames, type(exc)
    return frames, None


def cut_slowly(stream: bytes, limit: int) -> tuple[list[bytes], type[WireError] | None]:
    """The rules for brackets, byte by byte, as a reference."""
    frames, frame = [], b""
    for value in stream:
        byte = bytes([value])
        if not frame:
            if byte == b"[":
                frame = byte
            elif byte not in b"\r\n \t":
                return frames, FramingLost
            continue
        frame += byte
        if byte == b"]":
            if len(frame) > limit:
                return frames, MessageTooLong
            frames.append(frame)
            frame = b""
    return frames, MessageTooLong if len(frame) > limit else None


class TestBrackets:
    @pytest.mark.parametrize("strict", [False, True])
    @given(messages=st.lists(st.tuples(gaps, bodies), max_size=6), tail=gaps, cuts=cuts)
    def test_any_split_gives_the_same_messages(
        self, messages: list[tuple[bytes, bytes]], tail: bytes, cuts: list[int], strict: bool
    ) -> None:
        stream = b"".join(gap + body for gap, body in messages) + tail
        decoder = BracketDecoder(LIMIT, strict=strict)
        assert decode(decoder, pieces(stream, cuts)) == ([body for _, body in messages], None)
        assert not decoder.partial

    @given(stream=st.binary(max_size=150) | st.text("[]; \r\nAO", max_size=150).map(str.encode), cuts=cuts)
    def test_it_agrees_with_a_slow_reading_of_the_rules(self, stream: bytes, cuts: list[int]) -> None:
        frames, error = decode(BracketDecoder(LIMIT, strict=False), pieces(stream, cuts))
        expected, expected_error = cut_slowly(stream, LIMIT)
        if error is MessageTooLong and expected_error is not None:  # which of two errors depends on the split
            assert frames == expected[: len(frames)]
        else:
            assert (frames, error) == (expected, expected_error)

    @given(stream=st.binary(max_size=150) | st.text("[]; \r\nAO\x00", max_size=150).map(str.encode), cuts=cuts)
    def test_strictness_gives_up_sooner_and_changes_no_message(self, stream: bytes, cuts: list[int]) -> None:
        frames, error = decode(BracketDecoder(LIMIT, strict=True), pieces(stream, cuts))
        expected, expected_error = cut_slowly(stream, LIMIT)
        assert frames == expected[: len(frames)]
        assert error is not None or (frames, expected_error) == (expected, None)

    @pytest.mark.parametrize("bad", [b"\x00", b"\n", b"\x7f", b"\x80", b"\xff", b"["])
    def test_strictness_refuses_an_unfinished_message_at_its_first_bad_byte(self, bad: bytes) -> None:
        assert decode(BracketDecoder(LIMIT, strict=True), [b"[AOECHO;AG", bad]) == ([], FramingLost)
        assert decode(BracketDecoder(LIMIT, strict=True), [b"[AOECHO;AG" + bad]) == ([], FramingLost)

    @pytest.mark.parametrize("bad", [b"x", b"]", b";", b"\x00", b"\x0b", b"\xa0", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("gap", [b"", b"\r\n", b"  "])
    def test_nothing_but_line_ends_and_blanks_between_messages(self, bad: bytes, gap: bytes) -> None:
        for strict in (False, True):
            decoder = BracketDecoder(LIMIT, strict=strict)
            assert decode(decoder, [b"[AOECHO;]" + gap + bad + b"[AOTIME;]"]) == ([b"[AOECHO;]"], FramingLost)
            with pytest.raises(FramingLost):
                decoder.next_frame()

    @pytest.mark.parametrize("size", [1, 7, LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT])
    def test_the_limit_is_the_longest_message_taken(self, size: int) -> None:
        message = b"[" + b"x" * (size - 2) + b"]"
        for parts in ([message], [message[:-1], message[-1:]], [message[:n] for n in ()] or [message]):
            frames, error = decode(BracketDecoder(LIMIT, strict=True), [part for part in parts if part])
            if size > LIMIT:
                assert (frames, error) == ([], MessageTooLong)
            elif size > 1:
                assert (frames, error) == ([message], None)

    def test_no_more_than_the_limit_is_kept_of_an_endless_message(self) -> None:
        decoder = BracketDecoder(LIMIT, strict=True)
        decoder.receive(b"[" + b"x" * (LIMIT - 1))
        assert decoder.next_frame() is None
        decoder.receive(b"x")
        with pytest.raises(MessageTooLong):
            decoder.next_frame()

    def test_a_gap_is_no_message_that_has_begun(self) -> None:
        decoder = BracketDecoder(LIMIT, strict=True)
        for part, partial in ((b"\r\n", False), (b" ", False), (b"[AO", True), (b"ECHO;]", False)):
            decoder.receive(part)
            while decoder.next_frame() is not None:
                pass
            assert decoder.partial is partial

    @pytest.mark.parametrize("size", [1, 3, 1000])
    def test_the_work_is_linear_in_the_bytes(self, size: int) -> None:
        """No byte is searched or moved more than a few times, however small the pieces: counted, not timed."""

        class Counting(bytearray):
            searched = 0

            def find(self, sub: bytes, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
                Counting.searched += len(self) - start
                return super().find(sub, start)

        decoder = BracketDecoder(1 << 20, strict=True)
        decoder._buffer = Counting(b"[")  # type: ignore[assignment]
        total = 30_000
        for _ in range(total // size):
            decoder.receive(b"x" * size)
            assert decoder.next_frame() is None
        assert 0 < Counting.searched <= 2 * total


@pytest.mark.parametrize("framing", LENGTHS)
class TestLengths:
    @given(messages=st.lists(bodies, max_size=6), cuts=cuts)
    def test_any_split_gives_the_same_messages(self, framing: Framing, messages: list[bytes], cuts: list[int]) -> None:
        stream = b"".join(encoded(message, framing) for message in messages)
        for decoder in (request_decoder(framing, LIMIT), answer_decoder(framing, LIMIT)):
            assert decode(decoder, pieces(stream, cuts)) == (messages, None)
            assert not decoder.partial

    def test_part_of_a_length_is_part_of_a_message(self, framing: Framing) -> None:
        decoder = request_decoder(framing, LIMIT)
        for byte in encoded(b"[AOECHO;]", framing)[:-1]:
            decoder.receive(bytes([byte]))
            assert decoder.next_frame() is None
            assert decoder.partial

    def test_no_message_is_empty(self, framing: Framing) -> None:
        assert decode(request_decoder(framing, LIMIT), [encoded(b"", framing)]) == ([], FramingLost)

    @pytest.mark.parametrize("size", [LIMIT, LIMIT + 1, 65_535])
    def test_the_limit_is_known_from_the_length_alone(self, framing: Framing, size: int) -> None:
        frames, error = decode(request_decoder(framing, LIMIT), [encoded(b"x" * size, framing)[:8]])
        assert (frames, error) == ([], None if size <= LIMIT else MessageTooLong)

    def test_encode_is_the_way_back(self, framing: Framing) -> None:
        assert encode(framing, b"[AOECHO;]") == encoded(b"[AOECHO;]", framing)

    def test_an_answers_length_ends_where_the_answer_does(self, framing: Framing) -> None:
        for frame in (b"[AOECHO;]x", b"[AOECHO;][AOECHO;]", b"[AOECHO;"):
            assert decode(answer_decoder(framing, LIMIT), [encoded(frame, framing)]) == ([], FramingLost)
        frame = b"[AOECHO;]\r\n"
        assert decode(answer_decoder(framing, LIMIT), [encoded(frame, framing)]) == ([frame], None)


def test_a_length_that_does_not_fit_is_refused() -> None:
    assert len(encode(Framing.LENGTH2, b"x" * 65_535)) == 65_537
    with pytest.raises(MessageTooLong):
        encode(Framing.LENGTH2, b"x" * 65_536)
    assert encode(Framing.EXCRYPT, b"x" * 65_536) == b"x" * 65_536


def test_errors_hold_nothing_of_what_was_received() -> None:
    for decoder in (BracketDecoder(8, strict=True), LengthDecoder(8, header=2, single=True)):
        decoder.receive(b"SECRET[SECRET]SECRET")
        with pytest.raises(WireError) as info:
            decoder.next_frame()
        assert "SECRET" not in str(info.value)


_bytes = st.lists(st.sampled_from([b"[", b"]", b"[AOECHO;]", b"[AOECHO;AGx;]", b"\r\n", b"x", b"[[a]"]), max_size=8)


@given(_bytes.map(b"".join).filter(bool))
def test_the_quicker_way_finds_the_same_frames(data: bytes) -> None:
    decoder = BracketDecoder(SHORT, strict=False)
    quick = decoder.whole_frames(data)
    if quick is not None:
        decoder.receive(data)
        assert [decoder.next_frame() for _ in quick] == quick
        assert decoder.next_frame() is None
        assert not decoder.partial
