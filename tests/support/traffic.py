"""Traffic for `Learning`, as a list of what clients asked and devices answered."""

from __future__ import annotations

from balancer.command import CommandTable
from balancer.exchange import Exchange
from balancer.snapshot import Outcome
from balancer.wire.message import is_error, parse_request
from guardian.learning import Learning, Room, Who
from tests.support.core import BOUNDS, CATALOGUE

TABLE = CommandTable(CATALOGUE, BOUNDS)
VAULT = Who("vault-1", "sha256:" + "ab" * 32, None)
APP = Who("app-2", "sha256:" + "cd" * 32, None)
NOBODY = Who(None, None, "10.0.0.9")
FAILED = b"[AOERRO;AM34;ANAO;BBLOGIN REQUIRED;]"


def exchange(request: bytes, answer: bytes | None, outcome: Outcome | None = None) -> Exchange:
    """One that has ended; ``answer`` None is one of the proxy's own."""
    code, context = parse_request(request)
    made = Exchange(request, code, context, TABLE.find(code), None, lambda _: None, 0.0)
    if outcome is None:
        outcome = Outcome.BLOCKED if answer is None else Outcome.DEVICE_ERROR if is_error(answer) else Outcome.OK
    made.finish(outcome, answer)
    return made


def ok(code: str, request: bytes = b"", answer: bytes = b"") -> tuple[bytes, bytes | None]:
    """``request``, ``answer``: the fields, such as ``AGx;``."""
    head = b"[AO" + code.encode() + b";"
    return head + request + b"]", head + answer + b"]"


def failed(code: str) -> tuple[bytes, bytes | None]:
    return b"[AO" + code.encode() + b";]", FAILED


class Watched:
    """A `Learning` that is told of whole connections."""

    def __init__(self, room: Room | None = None) -> None:
        self.learning = Learning(room)
        self._connections = 0

    def connection(self, who: Who, *talk: tuple[bytes, bytes | None], from_start: bool = True) -> Watched:
        self._connections += 1
        life = self.learning.begin(self._connections, who, from_start=from_start)
        for request, answer in talk:
            if life is not None:
                self.learning.feed(life, exchange(request, answer))
        return self
