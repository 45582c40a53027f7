"""One client connection: requests in, answers out in the order of the requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from balancer.exchange import Exchange
from balancer.fair import Share
from balancer.group import Group
from balancer.snapshot import Outcome
from balancer.transport.handler import LinkHandler
from balancer.transport.link import Link
from balancer.transport.peers import Peer
from balancer.wire.errors import Malformed, MessageTooLong, WireError
from balancer.wire.frames import encode, request_decoder
from balancer.wire.message import context_of_refused, continues, parse_request
from config.catalogue import Effect
from config.model import Framing, Refusal

from .answers import CLOSES
from .functions import Rules, Ruling
from .host import ClientOwner, ClientSettings
from .route import Route

_OK: Final = Outcome.OK  # a look into an enum is slow until Python 3.12
Held = tuple[bytes, bytes, bytes | None]  # a request: its bytes, code and context
_MUCH_UNSENT: Final = 262_144  # bytes a client may leave untaken before it is read no further
_AT_ONCE: Final = 64  # messages that are looked at before others have their turn: some need no device to be answered
_LONG_CONTEXT = 32_768  # bytes of an AG text that are not repeated where a length must say how long the answer is
_FORGOTTEN = 5.0  # seconds after its deadline
_LINGER = 2.0  # seconds for a client to read a last answer


class Client(LinkHandler):
    """Owed answers stand in one queue; each is written when all before it are.

    ``peer`` says who it is, for rules and logs. ``rules`` may be replaced at any time: the next request obeys.
    """

    def __init__(
        self, owner: ClientOwner, group: Group, rules: Rules, settings: ClientSettings, peer: Peer | None, now: float
    ) -> None:
        self.peer = peer
        self.name = (peer.common_name or "") if peer is not None else ""
        self.rules = rules
        self.longest = settings.longest
        self.requests = 0  # well-formed ones
        self.connected_at = now
        self.address = ""  # from where it is connected
        self.link: Link
        identity = peer.fingerprint if peer is not None else None
        self._done: Callable[[Exchange], None] = self._answered  # made once: as an attribute it is made at each look
        self.route = Route(group, identity, self._done, self._must_end, now, self._login_ended)
        self._owner = owner
        self._group = group
        self._share = Share()
        self._settings = settings
        self._pipeline = settings.limits.pipeline
        self._excrypt = settings.framing is Framing.EXCRYPT
        self._decoder = request_decoder(settings.framing, settings.longest)
        self._owed: list[Exchange] = []  # no deque: one that is empty has 760 bytes, and most clients are quiet
        self._held: Held | None = None  # a request that waits for everything before it to be answered
        self._fence: Exchange | None = None  # nothing after it is looked at before it is answered
        self._taking = False
        self._resting = False  # others have their turn
        self._ending = False  # nothing more is taken; the connection ends when everything owed is answered
        self._gone = False
        self._paused = False
        self._active_at = now
        self._partial_since: float | None = None  # when the message that is not whole yet began
        self._stuck_since: float | None = None  # since when it has not taken all that was sent
        self._finished_at: float | None = None
        self._leaves_at: float | None = None  # from then on it goes as soon as it is quiet
        self._quiet = 0.0  # seconds without a request

    def attach(self, link: Link) -> None:
        self.link = link

    @property
    def busy(self) -> bool:
        """Whether it is owed an answer."""
        return bool(self._owed)

    @property
    def owed(self) -> int:
        """How many answers it is owed."""
        return len(self._owed)

    @property
    def completion(self) -> int:
        """The number of the answer that is being delivered; for whoever is told of it."""
        return self._group.delivered

    @property
    def kind(self) -> str:
        return self.route.kind

    @property
    def _stopped(self) -> bool:
        """Whether nothing more is looked at until something is answered."""
        waits = self._held is not None or self._fence is not None or self._resting
        return waits or len(self._owed) >= self._pipeline

    # --- the link -----------------------------------------------------------------------------------------------

    def received(self, data: bytes, now: float) -> None:
        if self._ending:
            return
        self._active_at = now
        if not self._owed and self._decoder.fresh:
            try:
                code, context = parse_request(data)
            except Malformed:
                pass  # several messages, a part of one, or none: the decoder says
            else:
                self._partial_since = None
                self._begin(data, code, context, now)
                if self._owed and self._stopped and not self._paused:
                    self._pause()
                return
        self._decoder.receive(data)
        taken = self._take(now)
        if not self._decoder.partial or self._stopped:
            self._partial_since = None
        elif taken or self._partial_since is None:
            self._partial_since = now

    def lost(self, reason: str) -> None:
        self._leave()

    def peer_ended(self) -> bool:
        """It asks for nothing more, and gets what it is owed: while reading goes on, all it sent has been looked at."""
        if not self._owed and not self.link.unsent:
            return False
        self.end()
        return True

    def go_on(self) -> None:
        self._resting = False
        self._go_on()

    def sent_all(self) -> None:
        self._stuck_since = None
        self._go_on()

    # --- requests -----------------------------------------------------------------------------------------------

    def _take(self, now: float) -> int:
        """Handle the whole messages that are there, as far as the pipeline allows; gives their number."""
        taken = 0
        if self._taking:
            return taken  # the loop below, further up the stack, goes on
        self._taking = True
        try:
            while not self._ending and not self._stopped:
                frame = self._decoder.next_frame()
                if frame is None:
                    break
                taken += 1
                self._handle(frame, now)
                if taken == _AT_ONCE:
                    self._resting = True
                    self.link.rest()
        except MessageTooLong:
            self._refuse(Refusal.TOO_LONG, None, now)
        except WireError:
            self._refuse(Refusal.MALFORMED, None, now)
        finally:
            self._taking = False
        if not self._paused and self._stopped:
            self._pause()
        return taken

    def _handle(self, frame: bytes, now: float) -> None:
        try:
            code, context = parse_request(frame)
        except Malformed:
            self._refuse(Refusal.MALFORMED, context_of_refused(frame), now)
        else:
            self._begin(frame, code, context, now)

    def _begin(self, frame: bytes, code: bytes, context: bytes | None, now: float) -> None:
        """Owe an answer to a well-formed request, and see to it that it comes."""
        rules = self.rules
        ruling = rules.rulings.get(code)
        if ruling is None:
            ruling = rules.ruling(code)
        if not ruling.plain and self._owed and not ruling.blocked and self._fences(ruling, frame):
            self._held = (frame, code, context)
            return
        owner = self.route.owner
        exchange = Exchange(frame, code, context, ruling.command, owner, self._done, now, self._share)
        self.requests += 1
        self._owed.append(exchange)
        if ruling.plain and owner is None and not self._owner.draining:
            self._group.submit(exchange, now)
        else:
            self._submit_with_care(exchange, ruling, now)

    def _fences(self, ruling: Ruling, frame: bytes) -> bool:
        """Whether a client's other requests must neither pass this one nor be passed by it.

        A login decides on whose behalf the next one runs; a write, what the next one finds.
        """
        return ruling.command.fences or (ruling.command.multipart and continues(frame))

    def _submit_with_care(self, exchange: Exchange, ruling: Ruling, now: float) -> None:
        """What may be blocked, may change who the client is, must stay on one connection, or comes too late."""
        if self._owner.draining:
            exchange.finish(Outcome.SHUTDOWN, None)
            return
        if ruling.nested is not None:
            ruling = ruling.nested.of(exchange.request)
        if ruling.blocked:
            self._owner.blocked(self, exchange.code.decode("ascii"))
            exchange.finish(Outcome.BLOCKED, None)
            return
        if self._group.refuses_writes and self._may_write(exchange, ruling):
            exchange.finish(Outcome.BUSY, None)
            return
        if ruling.noticed:
            self._owner.would_block(self, exchange.code.decode("ascii"))
        if not ruling.plain and self._fences(ruling, exchange.request):
            self._fence = exchange
        self.route.submit(exchange, now)

    def _may_write(self, exchange: Exchange, ruling: Ruling) -> bool:
        """What nobody knows may, too; a login does not, whatever the catalogue says."""
        return ruling.command.effect is Effect.WRITE and not self._group.logins.is_login(exchange.code)

    def _login_ended(self, code: str, result: str) -> None:
        self._owner.login_ended(self, code, result)

    def _must_end(self) -> None:
        """What it was on its device is lost, and it must know."""
        self._ending = True
        self._end_if_nothing_is_owed()

    def _refuse(self, refusal: Refusal, context: bytes | None, now: float) -> None:
        """Answer what is no message, in its place, and look at nothing that follows."""
        self._ending = True
        exchange = Exchange(b"", b"", context, self._group.commands.other, None, self._answered, now)
        self._owed.append(exchange)
        exchange.finish(Outcome.MALFORMED, self._settings.answers.refusal(refusal, context))

    # --- answers ------------------------------------------------------------------------------------------------

    def _answered(self, exchange: Exchange) -> None:
        owed = self._owed
        if self._gone or owed[0] is not exchange:
            return
        try:
            now = exchange.answered_at or self._group.clock()
            self._deliver(owed.pop(0), now)
            while owed and owed[0].finished:
                self._deliver(owed.pop(0), now)
            if self._fence is not None and self._fence.finished:
                self._fence = None
            if self._held is not None and not owed and not self._ending:
                held, self._held = self._held, None
                self._begin(*held, self._group.clock())
            if self._ending:
                self._end_if_nothing_is_owed()
            elif self._paused:
                self._go_on()
        except Exception as exc:  # noqa: BLE001 - the barrier: it is called from a device's connection
            self._owner.client_fault(self, exc)

    def _deliver(self, exchange: Exchange, now: float) -> None:
        group, link, count = self._group, self.link, exchange.command.count
        answer = exchange.answer
        number = group.delivered = group.delivered + 1
        if group.observer is not None:
            group.observer(self, exchange)
        if exchange.outcome is _OK:
            count.ok += 1
        else:
            count.failed(exchange, self.name, number, now)
            if exchange.outcome in CLOSES:
                self._ending = True
            if answer is None or exchange.outcome is Outcome.MALFORMED:
                self._owner.refused_request(self, exchange)
        if answer is None:
            answer = self._settings.answers.to(exchange.outcome, exchange.context)
        link.write(answer if self._excrypt else self._with_length(answer, exchange.context))
        if link.queued - link.taken >= _MUCH_UNSENT and not self._paused:
            self._pause()
        seconds = now - exchange.arrived
        count.duration.record(seconds)
        if seconds > count.slowest:
            count.slower(exchange, seconds, self.name, number)
        group.proxy_duration.record(seconds - exchange.device_seconds)

    def _with_length(self, answer: bytes, context: bytes | None) -> bytes:
        """The answer as it travels; where its length cannot be said, one that says so, and the connection ends.

        Left out, the client would take the next answer for this one.
        """
        try:
            return encode(self._settings.framing, answer)
        except MessageTooLong:
            self._ending = True
            if context is not None and len(context) > _LONG_CONTEXT:
                context = None
            return encode(self._settings.framing, self._settings.answers.refusal(Refusal.TOO_LONG, context))

    def _end_if_nothing_is_owed(self) -> None:
        if self._ending and not self._owed and not self._gone and self._finished_at is None:
            self._finished_at = self._group.clock()
            self.link.finish()

    # --- flow ---------------------------------------------------------------------------------------------------

    def _pause(self) -> None:
        self._paused = True
        self.link.pause_reading()

    def _go_on(self) -> None:
        """Read again, if neither owed answers nor untaken ones are in the way."""
        if self._gone or self._ending or self._taking:
            return
        if self.link.unsent < _MUCH_UNSENT:
            self._take(self._group.clock())
        if self._paused and not self._stopped and self.link.unsent < _MUCH_UNSENT:
            self._paused = False
            self.link.resume_reading()

    def sweep(self, now: float) -> None:
        """Called about every second: let go of a client that is idle, drips, or does not take its answers."""
        limits = self._settings.limits
        if self._finished_at is not None:
            if now - self._finished_at > (limits.message_time if self.link.unsent else _LINGER):
                self.close()
            return
        if self._owed and now > self._owed[0].deadline + _FORGOTTEN:
            self.close()  # only a fault of ours leaves a request without an end; better no answer than waiting for ever
            return
        if not self._owed and self.route.waited_too_long(now):
            self.end()  # the next part has not come; what was begun is over, and the client must know
            return
        unsent = self.link.unsent
        if not unsent:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        since = self._stuck_since if self._partial_since is None else self._partial_since
        if since is not None and now - since > limits.message_time:
            self.close()
        elif not self._owed and not unsent and now - self._active_at > limits.idle:
            self.end()
        elif self._leaves_at is not None and now >= self._leaves_at:
            self._leave_if_quiet(now)

    def leave_from(self, at: float, quiet: float) -> None:
        """From that moment on end the connection where nobody will miss it: once nothing was asked for ``quiet`` s."""
        self._leaves_at, self._quiet = at, quiet

    def _leave_if_quiet(self, now: float) -> None:
        between_parts = self.route.in_parts or self._decoder.partial
        if not self._owed and not self.link.unsent and not between_parts and now - self._active_at >= self._quiet:
            self.end()

    def end(self) -> None:
        """Take nothing more; end the connection when everything owed is answered."""
        self._ending = True
        self._end_if_nothing_is_owed()

    def close(self) -> None:
        """Now."""
        self.link.close()
        self._leave()

    def _leave(self) -> None:
        if self._gone:
            return
        self._gone = True
        for exchange in self._owed:
            exchange.abandon()
        self._owed.clear()
        self._held = None
        self.route.leave()
        self._owner.client_gone(self)
