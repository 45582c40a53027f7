"""Which connections a client's requests travel on: shared ones, those of its session, or one of its own.

A client begins anonymous, on shared connections. A login sends it to a connection of its own; accepted, and good on
every device, it becomes a session. What nobody knows might be a login too, so its client stays on that one connection
for good. Parts of one request hold a connection from the first to the last.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from balancer.exchange import Exchange
from balancer.group import Group
from balancer.pin import Pin
from balancer.session import Session
from balancer.snapshot import Outcome
from balancer.wire.message import announces_more, continues
from config.catalogue import Effect

_PINNED: Final = Effect.PINNED  # a look into an enum is slow until Python 3.12
_NEVER_SEEN = (Outcome.NO_DEVICE, Outcome.BUSY, Outcome.LOGIN_LOST)  # by a device
_ANSWERED = (Outcome.OK, Outcome.DEVICE_ERROR)


class Route:
    """Requests go in through `submit`, in the client's order and with nothing else outstanding where that matters.

    ``answered(exchange)`` takes each end. ``must_end()`` is called when the state that the client had on a device is
    lost: it has to go, so that it knows. ``identity`` is what the client shows of itself, None where that is nothing.
    ``told(code, result)`` hears how each login and logout ended, before its answer is passed on.
    """

    def __init__(
        self,
        group: Group,
        identity: str | None,
        answered: Callable[[Exchange], None],
        must_end: Callable[[], None],
        now: float,
        told: Callable[[str, str], None] | None = None,
    ) -> None:
        self.owner: Pin | Session | None = None  # None: anonymous
        self._group = group
        self._identity = identity
        self._answered = answered
        self._must_end = must_end
        self._told = told
        self._login_code = b""  # of the login that went to a device and is not answered
        self._hold: Pin | None = None  # the connection of a request in several parts
        self._leaving_by: Pin | None = None  # the connection of a logout that is not answered
        self._hold_code = b""  # of the request in parts
        self._held_until = now
        self._login_open = False  # a login of it went to a device and is not answered

    @property
    def kind(self) -> str:
        if self.owner is None:
            return "shared"
        return "session" if self.owner.roams else "pinned"

    def submit(self, exchange: Exchange, now: float) -> None:
        """To the connections it may travel on; ``exchange.owner`` is this route's."""
        group, command, owner = self._group, exchange.command, self.owner
        logs_in = group.logins.is_login(exchange.code)
        in_parts = command.effect is _PINNED or (command.multipart and continues(exchange.request))
        if self._hold is not None and not in_parts and command.private:
            owner = self._stay_on_hold(self._hold)
            exchange.owner = owner
        if logs_in:
            exchange.done = self._login_kept_back
            group.sessions.begin_login(self._identity, exchange, partial(self._log_in, exchange), now)
        elif isinstance(owner, Pin):
            if command.private:
                owner.stay()
            group.pins.submit(exchange, owner, now)
        elif group.logins.is_logout(exchange.code):
            self._log_out(exchange, now)
        elif self._hold is not None and (in_parts or exchange.code == self._hold_code):
            self._submit_part(exchange, self._hold, now)
        elif in_parts:
            self._submit_first_part(exchange, now)
        elif command.private:
            self._stay_on_one_device(exchange, now)
        elif owner is not None:
            group.submit_for(owner, exchange, now)
        else:
            group.submit(exchange, now)

    @property
    def in_parts(self) -> bool:
        """Whether more of a request is to come."""
        return self._hold is not None

    def waited_too_long(self, now: float) -> bool:
        """Whether the next part of a request is overdue."""
        return self._hold is not None and now >= self._held_until

    def leave(self) -> None:
        """The client is gone. A login whose answer nobody waits for counts as refused."""
        if self._login_open:
            self._tell(self._login_code, "abandoned")
        self._end_login(good=False)
        self._become(None)
        for pin in (self._hold, self._leaving_by):
            if pin is not None:
                self._group.pins.close(pin)
        self._hold = self._leaving_by = None

    def _become(self, owner: Pin | Session | None) -> None:
        """From now on requests travel on connections of that owner; let go of what there was."""
        before, self.owner = self.owner, owner
        if isinstance(before, Session):
            self._group.sessions.leave(before)
        elif before is not None:
            self._group.pins.close(before)

    def _open_pin(self, exchange: Exchange, ended: Callable[[bool], None], now: float) -> Pin | None:
        """A connection of its own, logged in as the client is; None, and the exchange ended, where none can be had."""
        session = self.owner if isinstance(self.owner, Session) else None
        pin = self._group.pins.open(exchange.code.decode("ascii"), ended, now, session)
        if pin is None:
            exchange.finish(Outcome.NO_DEVICE, None)
        else:
            exchange.owner = pin
        return pin

    def _stay_on_one_device(self, exchange: Exchange, now: float) -> None:
        """From this request on: nobody knows what it changes there."""
        ended = self._pin_ended if self.owner is None else self._login_gone
        pin = self._open_pin(exchange, ended, now)
        if pin is not None:
            pin.roams_later = False
            self._become(pin)
            self._group.pins.submit(exchange, pin, now)

    def _pin_ended(self, lost: bool) -> None:
        self.owner = None
        if lost:
            self._must_end()

    def _login_gone(self, lost: bool) -> None:
        """The session was given up for a connection that is lost, or could not be had: the client is nobody now."""
        self._pin_ended(lost=True)

    # --- logging in and out -------------------------------------------------------------------------------------

    def _log_in(self, exchange: Exchange, now: float) -> None:
        """A login begins anew, on a connection that nobody has used: what the client was before is over.

        Unless it stays on one connection anyway.
        """
        exchange.done = self._login_answered
        self._login_open = True
        self._login_code = exchange.code
        if isinstance(self.owner, Pin):
            exchange.owner = self.owner
            self._group.pins.submit(exchange, self.owner, now)
            return
        self._become(None)
        pin = self._open_pin(exchange, self._pin_ended, now)
        if pin is not None:
            self._become(pin)
            self._group.pins.submit(exchange, pin, now)

    def _login_answered(self, exchange: Exchange) -> None:
        """Decides what the client is from now on, before the answer is passed on and the next request comes."""
        pin, sessions = self.owner, self._group.sessions
        if isinstance(pin, Pin) and exchange.owner is pin and exchange.outcome in _ANSWERED:
            session = sessions.login_answered(self._identity, pin, exchange, self._group.clock())
            if session is not None:
                self.owner = session
            elif pin.roams_later and not pin.accepted:
                self._become(None)  # refused: it is nobody
        self._tell(exchange.code, self._result(exchange))
        self._answered(exchange)
        self._end_login(good=exchange.outcome in _NEVER_SEEN or not sessions.said_no(exchange))

    def _login_kept_back(self, exchange: Exchange) -> None:
        """It ended before it went to a device: after too many that were refused, or that are not answered yet."""
        self._tell(exchange.code, "limited")
        self._answered(exchange)

    def _result(self, exchange: Exchange) -> str:
        """How a login that went to a device ended, in one word of a bounded set."""
        rules, answer = self._group.logins, exchange.answer
        if exchange.outcome not in _ANSWERED or answer is None:
            return exchange.outcome.value
        if rules.succeeded(exchange.code, answer):
            return "ok"
        return "refused" if rules.refused(exchange.code, answer) else "continued"

    def _tell(self, code: bytes, result: str) -> None:
        if self._told is not None:
            self._told(code.decode("ascii"), result)

    def _end_login(self, *, good: bool) -> None:
        if self._login_open:
            self._login_open = False
            self._group.sessions.end_login(self._identity, self._group.clock(), good=good)

    def _log_out(self, exchange: Exchange, now: float) -> None:
        """On a connection of its own, since others may share the session; then the client is anonymous."""
        pin = self._open_pin(exchange, _nothing, now)
        if pin is None:
            return

        def done(exchange: Exchange) -> None:
            self._leaving_by = None
            self._group.pins.close(pin)
            self._tell(exchange.code, "logged_out" if exchange.outcome is Outcome.OK else exchange.outcome.value)
            self._answered(exchange)

        exchange.done = done
        self._leaving_by = pin
        self._become(None)
        self._group.pins.submit(exchange, pin, now)

    # --- parts --------------------------------------------------------------------------------------------------

    def _submit_first_part(self, exchange: Exchange, now: float) -> None:
        """From the first part to the last, all travel on one connection that nobody else uses."""
        hold = self._open_pin(exchange, self._hold_ended, now)
        if hold is not None:
            self._hold, self._hold_code = hold, exchange.code
            self._submit_part(exchange, hold, now)

    def _submit_part(self, exchange: Exchange, hold: Pin, now: float) -> None:
        exchange.owner = hold
        exchange.done = self._part_answered
        self._group.pins.submit(exchange, hold, now)

    def _part_answered(self, exchange: Exchange) -> None:
        hold = self._hold
        if hold is not None and exchange.owner is hold and not hold.over:
            if exchange.outcome is Outcome.OK and (self._more_follow(exchange) or self._of_others(exchange)):
                self._held_until = self._group.clock() + self._group.settings.sessions.hold
            else:
                self._hold = None
                self._group.pins.close(hold)
        self._answered(exchange)

    def _of_others(self, exchange: Exchange) -> bool:
        """Whether it is a part of another request than the one whose parts the connection was opened for."""
        return exchange.command.multipart and exchange.code != self._hold_code

    def _more_follow(self, exchange: Exchange) -> bool:
        if exchange.command.multipart:
            return announces_more(exchange.request)
        return not self._group.logins.is_last_part(exchange.code)

    def _stay_on_hold(self, hold: Pin) -> Pin:
        """Who the client is may change in the middle of its parts: from now on all of it stays where they are.

        Elsewhere the last part would be taken for a whole request; and the parts would go on as who it was.
        """
        self._hold = None
        hold.roams_later = False
        self._become(hold)
        return hold

    def _hold_ended(self, lost: bool) -> None:
        """What was begun there cannot go on anywhere: a later part sent elsewhere would be taken for a first one."""
        self._hold = None
        if isinstance(self.owner, Pin):
            self.owner = None
        if lost:
            self._must_end()


def _nothing(lost: bool) -> None:
    """A connection that ends by itself ends nothing else."""
