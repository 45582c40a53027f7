"""What logs a client in: which requests do, what success looks like, and the replay on a new connection. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final, Protocol

from config.catalogue import Effect
from config.model import FieldValue, Sessions

from .command import CommandCount, GroupCommand
from .exchange import Exchange
from .snapshot import Outcome
from .wire.message import field, is_error

if TYPE_CHECKING:
    from .upstream import Upstream

_KEPT_AT_MOST: Final = 10_000  # identities whose refused logins are remembered
_TRIES_KEPT: Final = 1000
_REPLAY: Final = GroupCommand(
    code=b"", label="login", effect=Effect.SESSION, multipart=False, known=True, count=CommandCount((1.0,))
)


class Login:
    """One login that a device has accepted, kept to be repeated on others. Shows nothing of itself."""

    __slots__ = ("_bytes", "code", "context")

    def __init__(self, request: bytes, code: bytes, context: bytes | None) -> None:
        self._bytes = bytearray(request)
        self.code = code
        self.context = context

    def __repr__(self) -> str:
        return "<a login>"

    @property
    def request(self) -> bytes:
        return bytes(self._bytes)

    def copy(self) -> Login:
        """One that outlives this one's `forget`."""
        return Login(self.request, self.code, self.context)

    def forget(self) -> None:
        """Overwrite what is kept."""
        self._bytes[:] = bytes(len(self._bytes))


class LoginRules:
    """A group's `sessions` settings, ready for requests and answers."""

    def __init__(self, settings: Sessions) -> None:
        self.settings = settings
        self.max_requests = settings.max_requests  # looked at for each answer
        self.max_age = settings.max_age
        self._success = {rule.command.encode(): _expected(rule.success) for rule in settings.login}
        self._logout = frozenset(code.encode() for code in settings.logout)
        self._needed = tuple(_expected(expected) for expected in settings.login_needed)
        self._tokens = tuple(tag.encode() for tag in settings.token)
        self._last_parts = frozenset(code.encode() for code in settings.last_parts)

    def is_login(self, code: bytes) -> bool:
        return code in self._success

    def is_logout(self, code: bytes) -> bool:
        return code in self._logout

    def succeeded(self, code: bytes, answer: bytes | None) -> bool:
        """Whether that answer to a login says yes."""
        if answer is None or is_error(answer):
            return False
        expected = self._success.get(code)  # a reload may have taken it out meanwhile
        return expected is not None and field(answer, expected[0]) == expected[1]

    def refused(self, code: bytes, answer: bytes) -> bool:
        """Whether it says no. An answer that says neither asks for more, as a nonce does."""
        expected = self._success.get(code)
        return is_error(answer) or (expected is not None and field(answer, expected[0]) not in (None, expected[1]))

    def holds_elsewhere(self, answer: bytes) -> bool:
        """Whether a successful login is worth the same on another device: not where the device gave out a token."""
        return self.settings.replay and all(field(answer, tag) is None for tag in self._tokens)

    def asks_for_login(self, answer: bytes) -> bool:
        """Whether a device refused a request because the login on its connection is no longer good."""
        return is_error(answer) and any(field(answer, tag) == value for tag, value in self._needed)

    def is_last_part(self, code: bytes) -> bool:
        return code in self._last_parts


def _expected(expected: FieldValue) -> tuple[bytes, bytes]:
    return expected.tag.encode(), expected.value.encode()


class Replay:
    """Repeats logins on one new connection, one after the other. ``ended(answer)`` is called once.

    It gets None when all were accepted, else the answer that was no success; not called when the connection is lost,
    which its owner is told anyway.
    """

    def __init__(
        self,
        upstream: Upstream,
        logins: tuple[Login, ...],
        rules: LoginRules,
        clock: Callable[[], float],
        ended: Callable[[Upstream, bytes | None, float], None],
    ) -> None:
        self._upstream = upstream
        self._left = deque(logins)
        self._rules = rules
        self._clock = clock
        self._ended = ended

    def go_on(self, now: float) -> None:
        """Send the next one, or say that all is done."""
        if not self._left:
            self._ended(self._upstream, None, now)
            return
        login = self._left[0]
        owner = self._upstream.owner
        exchange = Exchange(login.request, login.code, login.context, _REPLAY, owner, self._answered, now, is_ping=True)
        self._upstream.send(exchange, now)

    def _answered(self, exchange: Exchange) -> None:
        if exchange.outcome not in (Outcome.OK, Outcome.DEVICE_ERROR) or exchange.answer is None:
            return
        if self._rules.succeeded(exchange.code, exchange.answer):
            self._left.popleft()
            self.go_on(self._clock())
        else:
            self._ended(self._upstream, exchange.answer, self._clock())


class Tries(Protocol):
    """Limits the logins of an identity that may be wrong: of one process, or of several together."""

    def begin(self, identity: Hashable, most: int, window: float, now: float) -> bool | None:
        """Whether one more may reach a device now; None: not before one that is under way is answered."""

    def end(self, identity: Hashable, now: float, *, good: bool) -> None:
        """One that was begun is answered, or nobody will ever know how: that counts as refused."""

    def refused(self, identity: Hashable, now: float) -> None:
        """A device said no."""


class LoginTries:
    """Limits the logins of an identity that may be wrong, so that balancing does not multiply tries on an account.

    Tries that were refused within the window and tries that are not answered yet count together. An identity is
    whatever a client shows of itself (its certificate); those who show nothing count together.
    """

    def __init__(self) -> None:
        self._refused: dict[Hashable, deque[float]] = {}
        self._open: dict[Hashable, int] = {}

    def begin(self, identity: Hashable, most: int, window: float, now: float) -> bool | None:
        """Whether one more may reach a device now; None: not before one that is under way is answered."""
        refused = self._refused.get(identity)
        while refused and refused[0] <= now - window:
            refused.popleft()
        count = len(refused) if refused else 0
        if count >= most:
            return False
        if count + self._open.get(identity, 0) >= most:
            return None
        self._open[identity] = self._open.get(identity, 0) + 1
        return True

    def end(self, identity: Hashable, now: float, *, good: bool) -> None:
        """One that was begun is answered, or nobody will ever know how: that counts as refused."""
        left = self._open.get(identity, 0) - 1
        if left > 0:
            self._open[identity] = left
        else:
            self._open.pop(identity, None)
        if not good:
            self.refused(identity, now)

    def refused(self, identity: Hashable, now: float) -> None:
        """A device said no."""
        if len(self._refused) >= _KEPT_AT_MOST and identity not in self._refused:
            self._refused.pop(next(iter(self._refused)))
        self._refused.setdefault(identity, deque(maxlen=_TRIES_KEPT)).append(now)
