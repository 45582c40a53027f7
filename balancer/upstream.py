"""One connection to a device: requests out, answers in, matched strictly in order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from config.model import Framing

from .exchange import Attempt, Exchange
from .stamps import Stamps
from .transport.handler import LinkHandler
from .wire.errors import WireError
from .wire.frames import answer_decoder, encode
from .wire.message import answers

if TYPE_CHECKING:
    from .device import Device
    from .group import Group
    from .owner import Owner
    from .transport.link import Link


_EXCRYPT: Final = Framing.EXCRYPT  # a look into an enum is slow until Python 3.12


class WrongOwner(Exception):  # noqa: N818 - named for what was about to happen
    """A request was about to travel on a connection that belongs to somebody else. A fault of ours: never caught."""


class Upstream(LinkHandler):
    """Answers come in the order of the requests, one for each; anything else ends the connection.

    ``owner`` is None for a shared connection, else the `Pin` or `Session` whose requests alone may travel here:
    asserted at every send.
    """

    __slots__ = (
        "_decoder",
        "_framing",
        "_group",
        "_stamps",
        "_verify_context",
        "device",
        "free",
        "link",
        "opened",
        "outstanding",
        "owner",
        "used",
    )

    def __init__(
        self,
        device: Device,
        group: Group,
        *,
        framing: Framing,
        longest: int,
        verify_context: bool,
        owner: Owner | None,
        now: float,
        stamps: Stamps | None = None,
    ) -> None:
        """``longest``: of an answer, bytes. ``verify_context``: an answer must have the request's ``AG``.

        ``stamps``: puts an ``AG`` of ours into requests and takes it out of answers.

        The link is set by `attach`.
        """
        self.device = device
        self.owner = owner
        self.outstanding: deque[Attempt] = deque()
        self.free = False  # whether it stands in its device's list of free connections
        self.used = False  # whether anything was ever answered here
        self.opened = now
        self.link: Link
        self._group = group
        self._framing = framing
        self._verify_context = verify_context
        self._stamps = stamps
        self._decoder = answer_decoder(framing, longest)

    def attach(self, link: Link) -> None:
        self.link = link

    @property
    def has_room(self) -> bool:
        return self.link.open and len(self.outstanding) < self.device.pipeline

    def send(self, exchange: Exchange, now: float) -> Attempt:
        """Write the request at the end of the batch. Raises `WrongOwner` or `MessageTooLong`, and nothing happened."""
        if exchange.owner is not self.owner:
            raise WrongOwner("a request was about to travel on a connection that is not its client's")
        data = exchange.request
        if self._stamps is not None:
            data = self._stamps.put(data, exchange.context, as_it_is=exchange.is_ping)
        if self._framing is not _EXCRYPT:
            data = encode(self._framing, data)
        link = self.link
        assert link.open, "a request was about to be written to a connection that is gone"
        attempt = Attempt(exchange, self, self.device, link.queued, now)
        self.outstanding.append(attempt)
        exchange.attempts += 1
        exchange.device = self.device
        link.write(data)
        if now > exchange.arrived and not exchange.tried and not exchange.is_ping:
            self._group.waited(now - exchange.arrived)
        return attempt

    def received(self, data: bytes, now: float) -> None:
        decoder = self._decoder
        if decoder.fresh and data.find(b"]") == len(data) - 1 and data.startswith(b"["):
            self._answered(data, now)  # the usual case: one read, one answer
            return
        whole = decoder.whole_frames(data) if decoder.fresh else None
        if whole is not None:
            for answer in whole:
                if not self._answered(answer, now):
                    return
            return
        try:
            decoder.receive(data)
            while (frame := decoder.next_frame()) is not None:
                if not self._answered(frame, now):
                    return
        except WireError as exc:
            self._misbehaved(str(exc))
            return
        if decoder.partial and not (self.outstanding and self.outstanding[0].mark < self.link.taken):
            self._misbehaved("bytes that nobody asked for")

    def _answered(self, answer: bytes, now: float) -> bool:
        """Take one answer; says whether the connection is still there for more."""
        # A request that was handed on while these bytes were being read has not left: they were sent before it.
        if not self.outstanding or (attempt := self.outstanding[0]).mark >= self.link.taken:
            self._misbehaved("an answer that nobody asked for")
            return False
        exchange = attempt.exchange
        if self._stamps is not None:
            restored = self._stamps.take(answer, exchange.code, exchange.context)
            if restored is None:
                self._misbehaved("an answer to another request")
                return False
            answer = restored
        elif not answers(answer, exchange.code, exchange.context if self._verify_context else None):
            self._misbehaved("an answer to another request")
            return False
        self.outstanding.popleft()
        self.used = True
        self._group.attempt_answered(attempt, answer, now)
        return self.link.open

    def lost(self, reason: str) -> None:
        self._lose(reason, misbehaved=self._decoder.partial)

    def sent_all(self) -> None:
        """Nothing waits for it: what is outstanding is bounded by the pipeline."""

    def close(self, reason: str, *, by_fault: bool = False) -> None:
        """End the connection on our own; what is outstanding here is told as lost. ``by_fault``: of the device."""
        if self.link.open:
            self.link.close()
            self._lose(reason, misbehaved=False, ours=not by_fault)

    def _misbehaved(self, reason: str) -> None:
        self.link.close()
        self._lose(reason, misbehaved=True)

    def _lose(self, reason: str, *, misbehaved: bool, ours: bool = False) -> None:
        attempts = list(self.outstanding)
        self.outstanding.clear()
        self._group.upstream_lost(self, reason, attempts, misbehaved=misbehaved, ours=ours)
