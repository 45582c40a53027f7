"""The inside of a device: keys, identities and clock, without any socket."""

from __future__ import annotations

import time
from collections.abc import Mapping
from hashlib import sha256

import attrs

from . import functions
from .accounts import Accounts, LoginTry
from .call import Call
from .identity import DEFAULT_DIRECTORY, Directory
from .keypool import KeyPool
from .keytable import KeyTable
from .majorkey import MajorKey
from .message import Message, compose, compose_error
from .refusal import Refused, failed, login_required, malformed, not_permitted, unknown_function
from .registry import BY_KIND, Fields, Function, Kind
from .session import Session

assert functions.__doc__  # imported for what it registers


@attrs.frozen(kw_only=True)
class Refusals:
    """The error answers that say a login is needed: number and text. A real device's are not public."""

    login_required: tuple[int, str] = (20, "LOGIN REQUIRED")
    expired: tuple[int, str] | None = None  # where a limit has ended the login; None: as before any login


@attrs.define(eq=False, kw_only=True)  # not frozen: one is made for every request, and that costs twice as much
class Execution:
    """What became of a request inside the device."""

    answer: bytes
    executed: bool  # a refused request does nothing
    users: tuple[str, ...]  # who the connection was logged in as when it ran, expired logins left out
    login: LoginTry | None = None
    table: str | None = None  # the key table's digest afterwards, if the request changed it


@attrs.define(eq=False, kw_only=True)
class Hsm:
    """Answers requests. Slow functions may run in threads: a table changes by single assignments only."""

    name: str
    directory: Directory = DEFAULT_DIRECTORY
    major_key: MajorKey = attrs.field(factory=lambda: MajorKey("guardian"))
    slots: int = 256
    key_pool: KeyPool = attrs.field(factory=KeyPool)
    fips: bool = False
    kind: Kind = Kind.HSM
    model: str | None = None  # with one, ECHO and HASH tell model and firmware
    firmware: str = "emulated 1.0"
    wrong_passwords: int | None = None  # in a row, that lock an account
    refusals: Refusals = Refusals()
    accounts: Accounts = attrs.field(init=False)
    table: KeyTable = attrs.field(init=False)
    serial: str = attrs.field(init=False)
    clock_offset: float = attrs.field(default=0.0, init=False)  # seconds, set by TIME
    pin_tries: dict[str, int] = attrs.field(factory=dict, init=False)  # failed VPIN calls in a row, per account
    started: float = attrs.field(factory=time.monotonic, init=False)
    requests: int = attrs.field(default=0, init=False)
    errors: int = attrs.field(default=0, init=False)
    bugs: list[Exception] = attrs.field(factory=list, init=False)  # what functions raised and should not have

    def __attrs_post_init__(self) -> None:
        self.table = KeyTable(self.slots)
        self.accounts = Accounts(self.directory, self.wrong_passwords)
        self.serial = sha256(self.name.encode()).hexdigest()[:12].upper()

    @property
    def functions(self) -> Mapping[str, Function]:
        return BY_KIND[self.kind]

    def restart(self, *, empty_keys: bool = False, keys: KeyTable | None = None) -> None:
        """As after a power cut: counters begin anew. With `empty_keys` the table is gone, with `keys` it is a copy."""
        self.started, self.requests, self.errors = time.monotonic(), 0, 0
        self.accounts.restart()
        if empty_keys:
            self.table = KeyTable(self.slots)
        elif keys is not None:
            self.table = keys.copy()

    def slow(self, code: str) -> bool:
        found = self.functions.get(code)
        return found is not None and found.slow

    def execute(self, message: Message, session: Session, now: float) -> Execution:
        """Answer a request. `now` is monotonic."""
        self.requests += 1
        session.touch(now)
        session.tried = None
        users = session.users
        version = self.table.version
        try:
            function = self.functions.get(message.code)
            if not session.permits(message.code):
                raise (self.login_required(session) if session.identity is None and message.code else not_permitted())
            if function is None:
                raise (unknown_function() if message.code else malformed())
            fields = self._run(function, Call(message, session, self, now))
        except Refused as refusal:
            self.errors += 1
            answer = compose_error(refusal.number, refusal.tag, refusal.text, message.echo)
            return Execution(answer=answer, executed=False, users=users)
        return Execution(
            answer=compose(message.code, fields, message.echo),
            executed=True,
            users=users,
            login=session.tried,
            table=None if self.table.version == version else self.table.digest(),
        )

    def login_required(self, session: Session) -> Refused:
        """How this device says that a login is needed."""
        expired = self.refusals.expired if session.expired else None
        return login_required(*(expired or self.refusals.login_required))

    def _run(self, function: Function, call: Call) -> Fields:
        """A bug in one function ends neither the device nor the connection, and is kept for tests to find."""
        try:
            return function.run(call)
        except Refused:
            raise
        except Exception as exc:
            self.bugs.append(exc)
            raise failed() from exc
