"""The inside of a device: keys, identities and clock, without any socket."""

from __future__ import annotations

import time
from hashlib import sha256

import attrs

from . import functions
from .call import Call
from .identity import DEFAULT_DIRECTORY, Directory
from .keypool import KeyPool
from .keytable import KeyTable
from .majorkey import MajorKey
from .message import Message, compose, compose_error
from .refusal import Refused, failed, login_required, malformed, not_permitted, unknown_function
from .registry import FUNCTIONS, Fields, Function
from .session import Session

assert functions.__doc__  # imported for what it registers


@attrs.define(eq=False, kw_only=True)
class Hsm:
    """Answers requests. Slow functions may run in threads: a table changes by single assignments only."""

    name: str
    directory: Directory = DEFAULT_DIRECTORY
    major_key: MajorKey = attrs.field(factory=lambda: MajorKey("guardian"))
    slots: int = 256
    key_pool: KeyPool = attrs.field(factory=KeyPool)
    fips: bool = False
    firmware: str = "emulated 1.0"
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
        self.serial = sha256(self.name.encode()).hexdigest()[:12].upper()

    def restart(self, *, empty_keys: bool) -> None:
        """As after a power cut: counters begin anew, and with `empty_keys` the key table is gone."""
        self.started, self.requests, self.errors = time.monotonic(), 0, 0
        if empty_keys:
            self.table = KeyTable(self.slots)

    def slow(self, code: str) -> bool:
        found = FUNCTIONS.get(code)
        return found is not None and found.slow

    def execute(self, message: Message, session: Session, now: float) -> tuple[bytes, bool]:
        """The answer, and whether anything was executed: a refused request does nothing. `now` is monotonic."""
        self.requests += 1
        try:
            function = FUNCTIONS.get(message.code)
            session.touch(now)
            if not session.permits(message.code):
                raise (login_required() if session.identity is None and message.code else not_permitted())
            if function is None:
                raise (unknown_function() if message.code else malformed())
            fields = self._run(function, Call(message, session, self, now))
        except Refused as refusal:
            self.errors += 1
            return compose_error(refusal.number, refusal.tag, refusal.text, message.echo), False
        return compose(message.code, fields, message.echo), True

    def _run(self, function: Function, call: Call) -> Fields:
        """A bug in one function ends neither the device nor the connection, and is kept for tests to find."""
        try:
            return function.run(call)
        except Refused:
            raise
        except Exception as exc:
            self.bugs.append(exc)
            raise failed() from exc
