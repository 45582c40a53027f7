"""Devices that keep, for each connection, as whom it is logged in, and clients that know who they are.

What ran, where and as whom is written down by the devices; nothing here asks the proxy whose connection it was.
"""

from __future__ import annotations

from typing import Any

from balancer.device import Device
from balancer.login import Login
from balancer.owner import Owner
from balancer.pin import Pin
from balancer.session import Session
from balancer.transport.peers import Certificate, Peer
from balancer.upstream import Upstream
from balancer.wire.message import field, parse_request
from config.model import DEFAULT_ERRORS, Framing, Functions, Limits, WritesMode
from guardian.answers import Answers
from guardian.client import Client
from guardian.functions import GroupRules
from guardian.host import ClientSettings
from tests.support.core import CATALOGUE, FakeGroup, FakeLink
from tests.support.parties import LOGIN, LOGOUT, PASSWORDS, UNKNOWN, Asked, Line, Party, Run


def peer(name: str) -> Peer:
    """A client's certificate, as far as anybody looks at it here."""
    certificate = Certificate(
        common_name=name,
        subject=name,
        has_san=False,
        dns_names=(),
        addresses=(),
        sans=(),
        fingerprint=f"sha256:{name}",
        serial=1,
        issuer=b"",
        not_before=0.0,
        not_after=1e12,
        purposes=None,
        anchor="",
    )
    return Peer(
        common_name=name,
        sans=(),
        fingerprint=certificate.fingerprint,
        serial=1,
        not_after=1e12,
        expires=1e12,
        root=None,
        certificate=certificate,
        trust=None,
    )


class World(FakeGroup):
    """A group with such devices, and such clients of it."""

    def __init__(self, *devices: Any, limits: Limits | None = None, **settings: Any) -> None:
        settings.setdefault("functions", Functions())
        super().__init__(*devices, **settings)
        self.limits = limits or Limits()
        self.draining = False
        self.parties: list[Party] = []
        self.faults: list[Exception] = []
        self.ended: list[tuple[str, str]] = []  # of logins and logouts that have ended
        self.lines: dict[Upstream, Line] = {}
        self.runs: list[Run] = []
        self.passwords = {device.name: dict(PASSWORDS) for device in devices}
        self.sessions: set[Session] = set()  # all that ever were
        self.logins: set[Login] = set()
        self.refusals: dict[str | None, list[float]] = {}  # when logins were refused since one was accepted
        self.nonces = False  # a login is answered with more to do
        self.token = False  # a login is answered with something that is good on one device only

    # --- clients ------------------------------------------------------------------------------------------------

    def client_gone(self, client: Client) -> None:
        next(party for party in self.parties if party.client is client).gone = True

    def client_fault(self, client: Client, exc: Exception) -> None:
        self.faults.append(exc)
        client.close()

    def would_block(self, client: Client, code: str) -> None:
        raise AssertionError

    def refused_request(self, client: Client, exchange: object) -> None: ...

    def blocked(self, client: Client, code: str) -> None: ...

    def login_ended(self, client: Client, code: str, result: str) -> None:
        self.ended.append((code, result))

    def connect(self, certificate: str | None = None) -> Party:
        shown = None if certificate is None else peer(certificate)
        party = Party(len(self.parties), certificate)
        rules = GroupRules(self.settings, CATALOGUE, self.group.commands).of(shown)
        assert rules is not None
        settings = ClientSettings(
            framing=Framing.EXCRYPT, limits=self.limits, answers=Answers(DEFAULT_ERRORS), longest=self.limits.message
        )
        party.client = Client(self, self.group, rules, settings, shown, self.now)
        party.link = FakeLink(party.client)
        party.client.attach(party.link)  # type: ignore[arg-type]
        self.parties.append(party)
        return party

    def request(self, party: Party, code: str, tail: bytes = b"", user: bytes | None = None) -> bytes:
        """The next request of that client; it is for the caller to send it."""
        tag = b"%d-%d" % (party.number, len(party.asked))
        party.asked.append(Asked(tag, code.encode(), user))
        if user is not None and self.settings.sessions.share == "identity":
            tag = b"login"  # byte-equal logins are what is shared
            party.asked[-1].tag = tag
        return b"[AO%b;AG%b;%b]" % (code.encode(), tag, tail)

    def login(self, party: Party, user: bytes = b"alice", password: bytes | None = None) -> bytes:
        password = PASSWORDS[user] if password is None else password
        return self.request(party, "RKLG", b"DA%b;CH%b;" % (user, password), user)

    def say(self, party: Party, *requests: bytes) -> None:
        party.client.received(b"".join(requests), self.now)
        self.look()

    def ask(self, party: Party, code: str = "ECHO", tail: bytes = b"") -> bytes:
        request = self.request(party, code, tail)
        self.say(party, request)
        return request

    def log_in(self, party: Party, user: bytes = b"alice", password: bytes | None = None) -> bytes:
        """Ask, and let the devices do what has to be done; gives the answer."""
        self.say(party, self.login(party, user, password))
        self.settle()
        return party.heard[-1]

    def leave(self, party: Party) -> None:
        party.link.lose()
        self.look()

    def sweep(self, seconds: float) -> None:
        self.wait(seconds)
        for party in self.parties:
            if not party.gone:
                party.client.sweep(self.now)
        self.look()

    # --- devices ------------------------------------------------------------------------------------------------

    def make(self, name: str, owner: Any = None) -> Upstream:
        upstream = super().make(name, owner)
        self.lines[upstream] = Line(upstream, name)
        return upstream

    def line(self, upstream: Upstream) -> Line:
        return self.lines[upstream]

    @property
    def open_lines(self) -> list[Line]:
        return [line for line in self.lines.values() if line.upstream.link.open]

    @property
    def wanted(self) -> list[Device]:
        """Devices that were asked for connections that nobody has opened yet."""
        return [device for device in self.group.devices if self.keepers[device].wanted]

    def fail_to_open(self, name: str) -> None:
        self.keepers[self[name]].wanted.popleft().open_failed(self[name], self.now)
        self.look()

    def run(self, line: Line) -> bool:
        """The device runs the next request that it has; says whether there was one."""
        link: FakeLink = line.upstream.link  # type: ignore[assignment]
        link.flush()
        if line.read >= len(link.sent) or not link.open:
            return False
        for party in self.parties:
            party.listen()
        request = link.sent[line.read]
        line.read += 1
        line.answers.append(self._run(line, request))
        return True

    def _run(self, line: Line, request: bytes) -> bytes:
        code, context = parse_request(request)
        tail = b"" if context is None else b"AG%b;" % context
        refused = good = False
        before = line.user
        if code == LOGIN:
            user, password = field(request, b"DA"), field(request, b"CH")
            assert user is not None
            good = self.passwords[line.device].get(user) == password
            line.user = user if good else None
            line.carried = line.carried or good
            line.expired = False
            more = b"JWtoken;" if self.token and good else b""
            answer = b"[AORKLG;%b%bAN%b;]" % (tail, more, b"Y" if good else b"N")
            if self.nonces and good:
                answer = b"[AORKLG;%bBInonce;]" % tail
        elif line.expired and code not in (LOGOUT, UNKNOWN):
            refused = True
            answer = b"[AOERRO;%bBBLOGIN REQUIRED;]" % tail
        elif code == UNKNOWN:
            answer = b"[AOERRO;%bBBINVALID FUNCTION;]" % tail
        else:
            if code == LOGOUT:
                line.user = None
            answer = b"[AO%b;%bBBY;]" % (code, tail)
        run = Run(line, request, code, line.user if code == LOGIN else before, refused)
        self.runs.append(run)
        if code == LOGIN:
            self._note_login(line, good)
        elif not refused:
            self._check(run)
        return answer

    def _note_login(self, line: Line, good: bool) -> None:
        owner = line.upstream.owner
        asker = next((p for p in self.parties if not p.gone and p.client.route.owner is owner), None)
        if asker is None:
            return
        refused = self.refusals.setdefault(asker.certificate, [])
        if good:
            refused.clear()
        elif isinstance(owner, Pin):
            refused.append(self.now)
            settings = self.settings.sessions
            lately = [when for when in refused if when > self.now - settings.failure_window]
            at_once = sum(1 for party in self.parties if party.certificate == asker.certificate)
            assert len(lately) < settings.failures + at_once, "so many refused logins reached devices"

    def _check(self, run: Run) -> None:
        """Nothing runs as anybody but its client, and who is logged in shares with its like only."""
        line, asker = run.line, self.asker(run)
        assert asker is not None
        _, tag = parse_request(run.request)
        assert tag is not None
        line.served.add(asker)
        allowed = asker.may_run_as(tag)
        assert run.user in allowed or line.expired, f"{run.request!r} of {asker} ran as {run.user!r}, not {allowed}"
        if line.carried and len(line.served) > 1:
            assert allowed != {None}, "nobody's request ran where somebody had logged in"
            assert {each.certificate for each in line.served} == {asker.certificate}
            assert asker.certificate is not None
            assert self.settings.sessions.share == "identity"

    def _asker(self, context: bytes | None) -> Party | None:
        if context is None or b"-" not in context:
            return None
        return self.parties[int(context.split(b"-")[0])]

    def asker(self, run: Run) -> Party | None:
        return self._asker(parse_request(run.request)[1])

    def deliver(self, line: Line, count: int = 1) -> None:
        """The answers that the device has given come in, in one piece."""
        said, line.answers = line.answers[:count], line.answers[count:]
        if said and line.upstream.link.open:
            line.upstream.received(b"".join(said), self.now)
        self.look()

    def expire(self, line: Line) -> None:
        """The device ends the login of a connection, and says so when something is asked."""
        line.user = None
        line.expired = line.carried

    def step(self) -> bool:
        """Open what is wanted, and run and deliver one request on each connection."""
        moved = False
        for device in self.wanted:
            self.open_private(device.name)
            moved = True
        for line in self.open_lines:
            moved = self.run(line) or bool(line.answers) or moved
            self.deliver(line)
        self.look()
        return moved

    def settle(self) -> None:
        """Until nothing moves any more."""
        for _ in range(500):
            if not self.step():
                break
        else:
            raise AssertionError("it does not come to rest")
        for party in self.parties:
            party.listen()

    def look(self) -> None:
        """Remember each session and login, so that what is left of them can be looked at when they are over."""
        self.sessions |= self.group.sessions.all
        for session in self.group.sessions.all:
            self.logins |= set(session.logins)
        for pin in self.group.pins.all:
            self.logins |= {*pin.logins, *pin.accepted}

    @property
    def replicates(self) -> bool:
        return self.settings.writes_mode is WritesMode.REPLICATE

    def held(self) -> set[Owner]:
        """What the clients that are there have, and the writes under way that outlive theirs."""
        routes = [party.client.route for party in self.parties if not party.gone]
        owners = [each for route in routes for each in (route.owner, route._hold, route._leaving_by)]
        found: set[Owner] = {each for each in owners if each is not None}
        write = self.group.writes.current
        if write is not None and write.exchange.owner is not None:
            found.add(write.exchange.owner)
        return found

    def ran(self, request: bytes) -> list[Run]:
        return [run for run in self.runs if run.request == request and not run.refused]
