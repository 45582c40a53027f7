"""Cut received bytes into frames, one message each, for each framing. Knows nothing of sockets or time."""

from __future__ import annotations

import re
from typing import Final

from config.model import Framing

from .errors import FramingLost, MessageTooLong

_GAP: Final = re.compile(rb"[\r\n \t]*")
_OPENED: Final = re.compile(
    rb"[ -Z\\^-~]*"
)  # what may follow "[" while its "]" has not come: printable ASCII but brackets
_LEFT_BRACKET: Final = 0x5B
SHORT: Final = 16_384  # bytes; as much as is read at once


class Decoder:
    """Feed it with `receive`, then call `next_frame` until it returns None.

    `next_frame` raises `FramingLost` or `MessageTooLong`: no further byte can be trusted, close the connection.
    The work done is linear in the bytes received, however they are split.

    ``fresh``: whether bytes that are just one frame, and no longer than `SHORT`, need not be fed at all.
    A base class rather than a protocol, so that a compiled call needs no look-up.
    """

    __slots__ = ("fresh",)

    def __init__(self, *, fresh: bool) -> None:
        self.fresh = fresh

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended (meaningful after `next_frame` returned None)."""
        raise NotImplementedError

    def whole_frames(self, data: bytes) -> list[bytes] | None:
        """The frames, where the bytes are nothing but whole frames; None where `receive` must see to them.

        To be called only while `fresh`, with at most `SHORT` bytes: a quicker way to the same frames.
        """
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        raise NotImplementedError

    def next_frame(self) -> bytes | None:
        raise NotImplementedError


class BracketDecoder(Decoder):
    """Frames from ``[`` to ``]``; between them only CR, LF, space and tab.

    Some clients send CR LF after each message, hence the gap; anything else outside brackets is an error, so that no
    byte is ever skipped that a device would have read differently.
    """

    __slots__ = ("_buffer", "_limit", "_position", "_scanned", "_strict")

    def __init__(self, limit: int, *, strict: bool) -> None:
        """``limit``: the longest frame in bytes. ``strict`` also refuses an unfinished frame as soon as it has a byte
        that no request may hold (answers are let through: devices are not ours to correct)."""
        super().__init__(fresh=limit >= SHORT)
        self._buffer: bytes | bytearray = b""  # what was read at once; once there is more, what can grow
        self._position = 0  # where the next frame, or the gap before it, begins
        self._scanned = 0  # up to here no end of the frame was found
        self._limit = limit
        self._strict = strict

    @property
    def partial(self) -> bool:
        return self._position < len(self._buffer)

    def whole_frames(self, data: bytes) -> list[bytes] | None:
        pieces = data.split(b"]")
        if pieces.pop():
            return None
        return [piece + b"]" for piece in pieces] if all(piece[:1] == b"[" for piece in pieces) else None

    def receive(self, data: bytes) -> None:
        self.fresh = False
        if self._position == len(self._buffer):
            self._buffer = data
            self._position = self._scanned = 0
        else:
            buffer = self._buffer if isinstance(self._buffer, bytearray) else bytearray(self._buffer)
            del buffer[: self._position]
            buffer += data
            self._buffer = buffer
            self._scanned = max(self._scanned - self._position, 0)
            self._position = 0

    def next_frame(self) -> bytes | None:
        buffer, start = self._buffer, self._position
        size = len(buffer)
        if start == size:
            return None
        if buffer[start] != _LEFT_BRACKET:
            start = _GAP.match(buffer, start).end()  # type: ignore[union-attr]
            self._position = start
            if start == size:
                self.fresh = self._limit >= SHORT
                return None
            if buffer[start] != _LEFT_BRACKET:
                raise FramingLost("a byte outside brackets that is not CR, LF, space or tab")
        searched = max(self._scanned, start + 1)
        end = buffer.find(b"]", searched) + 1
        if end == 0:
            if size - start > self._limit:
                raise MessageTooLong(f"no end of message in {self._limit} bytes")
            if self._strict and _OPENED.match(buffer, searched).end() != size:  # type: ignore[union-attr]
                raise FramingLost("a byte inside an unfinished message that no message may hold")
            self._scanned = size
            return None
        if end - start > self._limit:
            raise MessageTooLong(f"a message of more than {self._limit} bytes")
        self._position = self._scanned = end
        self.fresh = end == size and self._limit >= SHORT
        if start == 0 and end == size and isinstance(buffer, bytes):
            return buffer  # the usual case: one read, one message, no copy
        return bytes(buffer[start:end])


class LengthDecoder(Decoder):
    """Frames behind a big-endian length of 2 or 4 bytes; the length does not count itself, and always comes first."""

    __slots__ = ("_buffer", "_header", "_limit", "_position", "_single")

    def __init__(self, limit: int, *, header: int, single: bool = False) -> None:
        """``limit``: the longest frame in bytes; ``header``: the size of the length, in bytes.

        ``single`` refuses a frame that does not end with its first ``]`` (and a gap): whoever reads its bytes without
        the length would find a second message in it.
        """
        super().__init__(fresh=False)
        self._buffer = bytearray()
        self._position = 0
        self._limit = limit
        self._header = header
        self._single = single

    def whole_frames(self, data: bytes) -> list[bytes] | None:
        return None

    @property
    def partial(self) -> bool:
        return self._position < len(self._buffer)

    def receive(self, data: bytes) -> None:
        if self._position:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += data

    def next_frame(self) -> bytes | None:
        start = self._position + self._header
        if len(self._buffer) < start:
            return None
        length = int.from_bytes(self._buffer[self._position : start], "big")
        if length == 0:
            raise FramingLost("a message of length 0")
        if length > self._limit:
            raise MessageTooLong(f"a message of {length} bytes, {self._limit} are allowed")
        end = start + length
        if len(self._buffer) < end:
            return None
        self._position = end
        frame = bytes(self._buffer[start:end])
        if self._single and frame.find(b"]") + 1 != len(frame.rstrip(b"\r\n \t")):
            raise FramingLost("a length that does not end where its message does")
        return frame


_HEADERS: Final = {Framing.LENGTH2: 2, Framing.LENGTH4: 4}


def request_decoder(framing: Framing, limit: int) -> Decoder:
    """A decoder for what clients send; ``limit`` in bytes."""
    if framing is Framing.EXCRYPT:
        return BracketDecoder(limit, strict=True)
    return LengthDecoder(limit, header=_HEADERS[framing])


def answer_decoder(framing: Framing, limit: int) -> Decoder:
    """A decoder for what devices send; ``limit`` in bytes."""
    if framing is Framing.EXCRYPT:
        return BracketDecoder(limit, strict=False)
    return LengthDecoder(limit, header=_HEADERS[framing], single=True)


def encode(framing: Framing, message: bytes) -> bytes:
    """The message as it travels in that framing. A length that does not fit its header raises `MessageTooLong`."""
    if framing is Framing.EXCRYPT:
        return message
    header = _HEADERS[framing]
    try:
        return len(message).to_bytes(header, "big") + message
    except OverflowError as exc:
        raise MessageTooLong(f"{len(message)} bytes do not fit a length of {header} bytes") from exc
