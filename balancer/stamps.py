"""What one connection to a device does to ``AG`` under ``context: inject``. Pure.

Without ``AG`` a repeated or late answer that arrives after the next request of the same code has left cannot be told
from the right one. With a text of ours in every request it can; the client's comes back in the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from config.model import Framing

from .transport.handler import LinkHandler
from .wire.context import put, restore
from .wire.errors import FramingLost, MessageTooLong, WireError
from .wire.frames import answer_decoder, encode
from .wire.message import answers, is_error

_SHORT: Final = 65_535  # bytes that a length of two can say
_PREFIX: Final = 8  # characters


class Stamps:
    """The stamps of one connection. Call `put` for each request in the order of sending, `take` for each answer.

    ``prefix``: eight upper-case letters or digits that nobody can guess, other ones for each connection.
    """

    __slots__ = ("_count", "_longest", "_prefix", "_sent")

    def __init__(self, prefix: bytes, framing: Framing) -> None:
        assert len(prefix) == _PREFIX, "all of one length, so that no stamp is another's beginning by chance"
        self._prefix = prefix
        self._count = 0
        self._sent: deque[bytes | None] = deque()  # the stamp of each request without an answer; None: it has none
        self._longest = _SHORT if framing is Framing.LENGTH2 else None

    def put(self, request: bytes, context: bytes | None, *, as_it_is: bool) -> bytes:
        """The request as it is to be sent. ``as_it_is``: a ping. So is what would become too long for its length.

        Raises `MessageTooLong` where it is too long itself, and nothing happened.
        """
        if self._longest is not None and len(request) > self._longest:
            raise MessageTooLong(f"{len(request)} bytes do not fit a length of two bytes")
        if not as_it_is:
            stamp = b"%b%X" % (self._prefix, self._count)
            stamped = put(request, context, stamp)
            if self._longest is None or len(stamped) <= self._longest:
                self._count += 1
                self._sent.append(stamp)
                return stamped
        self._sent.append(None)
        return request

    def take(self, answer: bytes, code: bytes, context: bytes | None) -> bytes | None:
        """The answer to the oldest request, as its client gets it; None where it is no answer to that."""
        stamp = self._sent.popleft()
        if stamp is None:
            return answer if answers(answer, code, context) else None
        return restore(answer, context, stamp) if answers(answer, code, None) else None


class EchoTrial(LinkHandler):
    """The first talk on a new connection: one ECHO, to see whether the device gives ``AG`` back. A link's handler.

    ``echoes`` says so when ``done`` was called; None: the connection is of no use.
    """

    def __init__(self, prefix: bytes, framing: Framing, longest: int, done: Callable[[], None]) -> None:
        """``longest``: of an answer, bytes. ``done`` may be called more than once: bytes may follow the answer."""
        self.echoes: bool | None = None
        self._mark = prefix + b"TRY"
        self._decoder = answer_decoder(framing, longest)
        self._framing = framing
        self._done = done
        self._answered = False

    @property
    def request(self) -> bytes:
        message = b"[AOECHO;AG%b;]" % self._mark
        return message if self._framing is Framing.EXCRYPT else encode(self._framing, message)

    def received(self, data: bytes, now: float) -> None:
        try:
            self._decoder.receive(data)
            while (answer := self._decoder.next_frame()) is not None:
                if self._answered or not answers(answer, b"ECHO", None):
                    raise FramingLost("an answer that nobody asked for")
                self._answered = True
                self.echoes = answers(answer, b"ECHO", self._mark) and not is_error(answer)
            if self._answered and self._decoder.partial:
                raise FramingLost("bytes that nobody asked for")
        except WireError:
            self.lost("")
            return
        if self._answered:
            self._done()

    def lost(self, reason: str) -> None:
        self.echoes = None
        self._answered = True
        self._done()

    def sent_all(self) -> None:
        """One short request: nothing waits for it."""
