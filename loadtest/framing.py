"""Messages cut out of received bytes, tolerantly: a witness reports what came, whatever it was."""

from __future__ import annotations

import enum

import attrs

SPACE = b"\r\n \t"  # allowed between messages


class Framing(enum.Enum):
    """How messages are told apart on a connection."""

    EXCRYPT = "excrypt"  # from [ to ], nothing else
    LENGTH2 = "length2"  # a two-byte big-endian length before each message
    LENGTH4 = "length4"  # a four-byte big-endian length before each message

    @property
    def header(self) -> int:
        """How many bytes of length stand before a message."""
        return {Framing.EXCRYPT: 0, Framing.LENGTH2: 2, Framing.LENGTH4: 4}[self]

    def wrap(self, message: bytes) -> bytes:
        """A message as it travels. Raises OverflowError when it is too long for its header."""
        if self is Framing.EXCRYPT:
            return message
        return len(message).to_bytes(self.header, "big") + message


@attrs.define(eq=False)
class Cutter:
    """Cuts received bytes into pieces. Knows nothing of sockets or time, and refuses nothing.

    A piece is a message from ``[`` to ``]``, or the bytes that stood where no message was, so that joining all pieces
    gives everything that came but white space and length headers.
    """

    framing: Framing = Framing.EXCRYPT
    _buffer: bytearray = attrs.field(factory=bytearray, init=False)

    def feed(self, data: bytes) -> list[bytes]:
        """All pieces that are complete now."""
        if (
            not self._buffer
            and self.framing is Framing.EXCRYPT
            and data.find(b"]") == len(data) - 1
            and data[:1] == b"["
        ):
            return [data]  # one whole message in one read is the usual case
        self._buffer += data
        return self._cut_brackets() if self.framing is Framing.EXCRYPT else self._cut_lengths()

    def _cut_brackets(self) -> list[bytes]:
        pieces: list[bytes] = []
        buffer, at = bytes(self._buffer), 0
        while (end := buffer.find(b"]", at)) >= 0:
            start = buffer.find(b"[", at, end)
            if start < 0:
                start = end + 1
            if stray := buffer[at:start].strip(SPACE):
                pieces.append(stray)
            if start <= end:
                pieces.append(buffer[start : end + 1])
            at = end + 1
        if (start := buffer.find(b"[", at)) != at:  # bytes before a message that has begun, or after the last one
            rest = len(buffer) if start < 0 else start
            if stray := buffer[at:rest].strip(SPACE):
                pieces.append(stray)
            at = rest
        del self._buffer[:at]
        return pieces

    def _cut_lengths(self) -> list[bytes]:
        pieces: list[bytes] = []
        header = self.framing.header
        while len(self._buffer) >= header:
            end = header + int.from_bytes(self._buffer[:header], "big")
            if len(self._buffer) < end:
                break
            pieces.append(bytes(self._buffer[header:end]))
            del self._buffer[:end]
        return pieces
