"""What live traffic shows of a protocol that nobody has described: codes, tags, order. Never a value. Pure.

Fed with each exchange as its client gets the answer. What is kept: codes, tags, counts, kinds of values; of an ERRO
its number and the tag it names; and of answers to commands that may be logins single upper-case letters, since a
login's success is told by one and a status of one letter is no secret. Every table is bounded, and all together are by
`Room`.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

import attrs

from balancer.exchange import Exchange
from balancer.wire.message import field, is_error
from config.catalogue import Effect

from .shapes import OTHER_TAG, fields, is_letter, shape

ROOM: Final = 50_000  # entries of all tables together; about 10 MB
CONNECTIONS: Final = 4096
CLIENTS: Final = 256
CODES: Final = 256  # of one client
TAGS: Final = 64
NEIGHBOURS: Final = 32
NUMBERS: Final = 64
_SHAPES: Final = 16
_CANDIDATES: Final = 8  # possible logins of one connection
_STATUSES: Final = 4  # letters of one answer
_FAILED: Final = 32  # codes of one connection that are waited for to succeed
NOT_LOOKED_AT: Final = "not looked at"  # the kind of every value in a request that may be a login
_NUMBER: Final = re.compile(rb"[0-9]{1,5}")
_TAG: Final = re.compile(rb"[A-Z0-9]{2}")
_POSITIONS: Final = ((1, "1"), (2, "2"), (3, "3"), (10, "4-10"), (100, "11-100"))

K = TypeVar("K")
Status = tuple[bytes, bytes]  # tag and letter


class Room:
    """How much more may be kept, and what was not, by what it was."""

    def __init__(self, left: int = ROOM) -> None:
        self.left = left
        self.dropped: dict[str, int] = {}

    def take(self, what: str) -> bool:
        if self.left > 0:
            self.left -= 1
            return True
        self.drop(what)
        return False

    def drop(self, what: str) -> None:
        self.dropped[what] = self.dropped.get(what, 0) + 1

    def count(self, table: dict[K, int], key: K, most: int, what: str) -> None:
        """Count it in a table that has at most so many keys."""
        if key in table:
            table[key] += 1
        elif len(table) >= most:
            self.drop(what)
        elif self.take(what):
            table[key] = 1


@attrs.frozen
class Who:
    """A client as rules know it: by its certificate, or by its address where it shows none."""

    common_name: str | None
    fingerprint: str | None  # sha256:<hex>
    address: str | None


@attrs.define(eq=False)
class CodeSeen:
    """One command of one client. Tables are counts."""

    code: str
    known: bool
    effect: str
    requests: int = 0
    outcomes: dict[str, int] = attrs.field(factory=dict)
    first: int = 0  # connections that it was the first request of
    positions: dict[str, int] = attrs.field(factory=dict)  # which request of its connection it was
    previous: dict[str, int] = attrs.field(factory=dict)  # the code directly before it
    request_tags: dict[str, dict[str, int]] = attrs.field(factory=dict)  # tag -> kinds of its values
    answer_tags: dict[str, dict[str, int]] = attrs.field(factory=dict)  # of answers that are no ERRO
    context_asked: int = 0  # answered by a device, where the request had AG
    context_repeated: int = 0
    error_numbers: dict[str, int] = attrs.field(factory=dict)  # AM of its ERRO answers
    error_tags: dict[str, int] = attrs.field(factory=dict)  # AN of its ERRO answers

    @property
    def ok(self) -> int:
        return self.outcomes.get("ok", 0)

    @property
    def errors(self) -> int:
        return self.outcomes.get("device_error", 0)


@attrs.define(eq=False)
class ClientSeen:
    who: Who
    connections: int = 0
    from_start: int = 0  # connections that began while we watched
    malformed: int = 0
    codes: dict[bytes, CodeSeen] = attrs.field(factory=dict)


@attrs.define(eq=False)
class LoginSeen:
    """A command that may be a login: of effect `session`, or unknown to the catalogue. Of all clients together."""

    code: str
    known: bool
    answered: int = 0  # not with ERRO
    first: int = 0  # connections, watched from their start, that it was the first request of
    repeated: int = 0  # connections that it was the first and the second request of
    unlocked: dict[str, int] = attrs.field(factory=dict)  # codes that failed before it and succeeded after it
    unlocking: dict[Status, int] = attrs.field(factory=dict)  # what its answer said where it did so
    statuses: dict[Status, int] = attrs.field(factory=dict)  # letters in its answers
    after_ok: dict[Status, int] = attrs.field(factory=dict)  # what came next succeeded, by what its answer had said
    after_error: dict[Status, int] = attrs.field(factory=dict)


class Life:
    """One client connection, as far as it was watched."""

    __slots__ = ("candidates", "client", "failed", "from_start", "last", "requests")

    def __init__(self, client: ClientSeen, *, from_start: bool) -> None:
        self.client = client
        self.from_start = from_start
        self.requests = 0
        self.last: bytes | None = None  # the code before
        self.candidates: list[tuple[bytes, tuple[Status, ...]]] = []  # possible logins that were answered, in order
        self.failed: dict[bytes, int] = {}  # code -> how many candidates there were when it failed


@attrs.define(eq=False)
class PipelineSeen:
    """Looks at the devices' connections now and then: how many had several requests outstanding that differ."""

    allowed: int = 1  # the most that the settings allow on one connection
    looks: int = 0
    several: int = 0  # connections, over all looks
    most: int = 0
    misfits: int = 0  # answers that fitted no request, which ended their connections


class Learning:
    """What one group's traffic has shown so far."""

    def __init__(self, room: Room | None = None) -> None:
        self.room = room or Room()
        self.requests = 0
        self.clients: dict[Who, ClientSeen] = {}
        self.logins: dict[bytes, LoginSeen] = {}
        self.pipeline = PipelineSeen()
        self._lives: dict[object, Life] = {}

    def life(self, connection: object) -> Life | None:
        """What is known of a connection; ``connection`` is any key of its own, and is kept."""
        return self._lives.get(connection)

    def begin(self, connection: object, who: Who, *, from_start: bool) -> Life | None:
        """A connection is seen for the first time. None where there is no room for it or for its client."""
        client = self.clients.get(who)
        if client is None:
            if len(self.clients) >= CLIENTS:
                self.room.drop("clients")
                return None
            if not self.room.take("clients"):
                return None
            client = self.clients[who] = ClientSeen(who)
        client.connections += 1
        client.from_start += from_start
        if len(self._lives) >= CONNECTIONS:  # the oldest: most likely it has ended
            del self._lives[next(iter(self._lives))]
        life = self._lives[connection] = Life(client, from_start=from_start)
        return life

    def forget_connections(self) -> None:
        """They are of no use once nobody watches."""
        self._lives.clear()

    def feed(self, life: Life, exchange: Exchange) -> None:
        """One exchange of that connection; they come in the order of the requests. Nothing of it is kept."""
        self.requests += 1
        if not exchange.code:
            life.client.malformed += 1
            return
        life.requests += 1
        seen = self._code(life.client, exchange)
        if seen is not None:
            self._place(seen, life)
            self._outcome(seen, exchange)
        self._login(life, exchange)
        life.last = exchange.code

    def _code(self, client: ClientSeen, exchange: Exchange) -> CodeSeen | None:
        seen = client.codes.get(exchange.code)
        if seen is None:
            if len(client.codes) >= CODES:
                self.room.drop("codes")
                return None
            if not self.room.take("codes"):
                return None
            command = exchange.command
            seen = CodeSeen(
                exchange.code.decode("ascii"), command.known, command.effect.value if command.known else "unknown"
            )
            client.codes[exchange.code] = seen
        return seen

    def _place(self, seen: CodeSeen, life: Life) -> None:
        if life.from_start:
            seen.first += life.requests == 1
            place = next((name for most, name in _POSITIONS if life.requests <= most), "over 100")
            self.room.count(seen.positions, place, len(_POSITIONS) + 1, "positions")
        if life.last is not None:
            self.room.count(seen.previous, life.last.decode("ascii"), NEIGHBOURS, "neighbours")

    def _outcome(self, seen: CodeSeen, exchange: Exchange) -> None:
        seen.requests += 1
        self.room.count(seen.outcomes, exchange.outcome.value, 16, "outcomes")
        private = may_log_in(exchange)
        for tag, value in fields(exchange.request):
            self._tag(seen.request_tags, tag, NOT_LOOKED_AT if private else shape(value))
        answer = exchange.answer
        if answer is None:
            return
        if exchange.context is not None:
            seen.context_asked += 1
            seen.context_repeated += field(answer, b"AG") == exchange.context
        if is_error(answer):
            number, tag = field(answer, b"AM") or b"", field(answer, b"AN") or b""
            self.room.count(
                seen.error_numbers, number.decode() if _NUMBER.fullmatch(number) else "no number", NUMBERS, "numbers"
            )
            self.room.count(seen.error_tags, (tag if _TAG.fullmatch(tag) else OTHER_TAG).decode(), TAGS, "tags")
            return
        for tag, value in fields(answer):
            self._tag(seen.answer_tags, tag, shape(value))

    def _tag(self, table: dict[str, dict[str, int]], tag: bytes, kind: str) -> None:
        name = tag.decode("ascii")
        kinds = table.get(name)
        if kinds is None:
            if len(table) >= TAGS:
                self.room.drop("tags")
                return
            if not self.room.take("tags"):
                return
            kinds = table[name] = {}
        self.room.count(kinds, kind, _SHAPES, "kinds")

    # --- logins -------------------------------------------------------------------------------------------------

    def _login(self, life: Life, exchange: Exchange) -> None:
        """Whether a command changes what its connection may do, by what comes before and after it."""
        answer = exchange.answer
        if answer is None:
            return
        error = is_error(answer)
        if may_log_in(exchange):
            self._candidate(life, exchange, error=error)
        elif error:
            if exchange.code in life.failed or len(life.failed) < _FAILED:
                life.failed[exchange.code] = len(life.candidates)
        else:
            self._succeeded(life, exchange.code)
        if life.last is not None and life.candidates and not may_log_in(exchange):
            self._next(life, error=error)

    def _candidate(self, life: Life, exchange: Exchange, *, error: bool) -> None:
        code = exchange.code
        login = self.logins.get(code)
        if login is None:
            if len(self.logins) >= CODES:
                self.room.drop("logins")
                return
            if not self.room.take("logins"):
                return
            login = self.logins[code] = LoginSeen(code.decode("ascii"), exchange.command.known)
        if life.from_start:
            login.first += life.requests == 1
            login.repeated += life.requests == 2 and life.last == code
        if error:
            return
        login.answered += 1
        statuses = _statuses(exchange)
        for status in statuses:
            self.room.count(login.statuses, status, TAGS, "statuses")
        if len(life.candidates) < _CANDIDATES:
            life.candidates.append((code, statuses))
        else:  # the last one is what counts from here on
            life.candidates[-1] = (code, statuses)

    def _succeeded(self, life: Life, code: bytes) -> None:
        """If it had failed on this connection, what was answered in between may be why it now succeeds."""
        failed_at = life.failed.pop(code, None)
        if failed_at is None:
            return
        for candidate, statuses in life.candidates[failed_at:]:
            login = self.logins[candidate]
            self.room.count(login.unlocked, code.decode("ascii"), NEIGHBOURS, "codes unlocked")
            for status in statuses:
                self.room.count(login.unlocking, status, TAGS, "statuses")

    def _next(self, life: Life, *, error: bool) -> None:
        candidate, statuses = life.candidates[-1]
        if candidate != life.last:
            return
        login = self.logins[candidate]
        for status in statuses:
            self.room.count(login.after_error if error else login.after_ok, status, TAGS, "statuses")


def may_log_in(exchange: Exchange) -> bool:
    command = exchange.command
    return not command.known or command.effect is Effect.SESSION


def _statuses(exchange: Exchange) -> tuple[Status, ...]:
    """Single upper-case letters of an answer that are not just the request's own, given back."""
    sent = set(fields(exchange.request))
    found = [(tag, value) for tag, value in fields(exchange.answer or b"[]") if is_letter(value)]
    return tuple(status for status in found if status not in sent and status[0] != OTHER_TAG)[:_STATUSES]
