"""Clients that know who they are, and what devices know of their connections."""

from __future__ import annotations

import re

import attrs

from balancer.upstream import Upstream
from balancer.wire.message import field
from guardian.client import Client
from tests.support.core import FakeLink

PASSWORDS = {b"alice": b"safest1", b"bob": b"safest2"}
LOGIN, LOGOUT, UNKNOWN = b"RKLG", b"RKLO", b"QQQQ"
ANSWER = re.compile(rb"\[[^\]]*\]")


@attrs.define(eq=False)
class Line:
    """What a device knows of one connection."""

    upstream: Upstream
    device: str
    user: bytes | None = None
    carried: bool = False  # whether a login was ever accepted there
    read: int = 0  # requests that the device has run
    answers: list[bytes] = attrs.field(factory=list)  # said, and not yet received
    served: set[Party] = attrs.field(factory=set)  # whose requests ran there
    expired: bool = False


@attrs.frozen(eq=False)
class Run:
    """One request as a device ran it."""

    line: Line
    request: bytes
    code: bytes
    user: bytes | None
    refused: bool  # the device said no, and did nothing


@attrs.define(eq=False)
class Asked:
    """One request of a client."""

    tag: bytes
    code: bytes
    user: bytes | None = None  # of a login
    then: set[bytes | None] = attrs.field(factory=set)  # who its client may be once it is answered


class Party:
    """A client and what it has been told so far."""

    def __init__(self, number: int, certificate: str | None) -> None:
        self.number = number
        self.certificate = certificate
        self.client: Client
        self.link: FakeLink
        self.gone = False
        self.asked: list[Asked] = []
        self.heard: list[bytes] = []
        self.perhaps: set[bytes | None] = {None}  # who it may be, by what it heard: a login that timed out may have run
        self._read = 0

    def __repr__(self) -> str:
        return f"<client {self.number} of {self.certificate}>"

    def listen(self) -> None:
        """Take in what it was told: each answer must be the next one that it is owed."""
        self.link.flush()
        for answer in self.link.sent[self._read :]:
            self._read += 1
            for each in ANSWER.findall(answer):
                asked = self.asked[len(self.heard)]
                assert field(each, b"AG") == asked.tag, f"{self} heard {each!r} for {asked}"
                self.heard.append(each)
                self._learn(asked, each)

    def _learn(self, asked: Asked, answer: bytes) -> None:
        if asked.code == LOGIN:
            if answer.startswith(b"[AORKLG") and field(answer, b"AN") == b"Y":
                self.perhaps = {asked.user}
            elif b"AM904;" in answer:
                self.perhaps = self.perhaps | {None}  # limited, and it is who it was; or it waited for too long
            elif b"AM902;" in answer or field(answer, b"AN") == b"N":
                self.perhaps = {None}
            else:
                self.perhaps = self.perhaps | {None, asked.user}
        elif asked.code == LOGOUT:
            self.perhaps = {None} if answer.startswith(b"[AORKLO") else self.perhaps | {None}
        asked.then = self.perhaps

    def may_run_as(self, tag: bytes) -> set[bytes | None]:
        """Who it was when it asked this; it must have heard the answer to every login before it."""
        place = next(n for n, asked in enumerate(self.asked) if asked.tag == tag)
        for n in range(place - 1, -1, -1):
            if self.asked[n].code in (LOGIN, LOGOUT):
                assert n < len(self.heard), f"{self}: {tag!r} passed a login"
                return self.asked[n].then
        return {None}
