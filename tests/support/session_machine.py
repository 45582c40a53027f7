"""Whatever clients, devices and time do in whatever order: nobody's request ever runs in somebody else's name."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from balancer.snapshot import Will
from config.model import Ejection, Limits, Queue, Retries, Role, Sessions, Writes, WritesMode
from tests.support.core import device_settings
from tests.support.parties import PASSWORDS, Line, Party
from tests.support.strangers import World

NAMES = ("a", "b", "c")
CERTIFICATES = ("one", "two", None)
ROLES = (Role.PRIMARY, Role.PRODUCTION, Role.BACKUP)
SAYINGS = (
    "read",
    "read",
    "read",
    "own",
    "write",
    "login",
    "login",
    "other",
    "wrong",
    "first",
    "part",
    "last",
    "logout",
)

picks = st.integers(0, 1000)
sayings = st.lists(st.sampled_from((*SAYINGS, "unknown")), min_size=1, max_size=4)


class SessionMachine(RuleBasedStateMachine):
    @initialize(
        pipeline=st.integers(1, 2),
        limit=st.integers(1, 4),
        queue=st.sampled_from((1, 10)),
        attempts=st.integers(0, 2),
        share=st.sampled_from(("identity", "identity", "none")),
        required=st.sampled_from((1, 1, 1, 2)),
        mode=st.sampled_from((WritesMode.BALANCE, WritesMode.REPLICATE)),
        clients=st.lists(st.sampled_from(CERTIFICATES), min_size=2, max_size=4),
    )
    def begin(
        self,
        pipeline: int,
        limit: int,
        queue: int,
        attempts: int,
        share: str,
        required: int,
        mode: WritesMode,
        clients: list[str | None],
    ) -> None:
        self.world = World(
            *(
                device_settings(name, role=role, pipeline=pipeline, outstanding=limit, connections=2, private=4)
                for name, role in zip(NAMES, ROLES, strict=True)
            ),
            limits=Limits(pipeline=4),
            queue=Queue(size=queue, timeout=1.5),
            retries=Retries(attempts=attempts, attempt_timeout=1.0, reserve=10),
            ejection=Ejection(failures=2, base=2.0),
            request_timeout=3.0,
            writes=Writes(mode=mode),
            sessions=Sessions(
                share=share,  # type: ignore[arg-type]
                logins_required=required,
                logout=("RKLO",),
                idle=3.0,
                max_age=6.0,
                max_requests=4,
                failures=2,
                failure_window=3.0,
                hold=2.0,
            ),
        )
        self.world.ready(2)
        for certificate in clients:
            self.world.connect(certificate)

    # --- clients ------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.parties) < 5)
    @rule(certificate=st.sampled_from(CERTIFICATES))
    def connect(self, certificate: str | None) -> None:
        self.world.connect(certificate)

    def _request(self, party: Party, saying: str) -> bytes:
        world = self.world
        parts = {"first": b"BN1;", "part": b"BN1;CHstate;", "last": b"CHstate;BN0;"}
        codes = {"read": "ECHO", "own": "HASH", "write": "GPKD", "unknown": "QQQQ", "logout": "RKLO"}
        if saying in parts:
            return world.request(party, "RSAS", parts[saying])
        if saying in codes:
            return world.request(party, codes[saying])
        return world.login(party, b"bob" if saying == "other" else b"alice", b"wrong" if saying == "wrong" else None)

    @precondition(lambda self: self.parties)
    @rule(which=picks, what=sayings)
    def say(self, which: int, what: list[str]) -> None:
        party = self.parties[which % len(self.parties)]
        self.world.say(party, *(self._request(party, saying) for saying in what))

    @precondition(lambda self: self.parties)
    @rule(which=picks, user=st.sampled_from(sorted(PASSWORDS)))
    def log_in(self, which: int, user: bytes) -> None:
        self._log_in(self.parties[which % len(self.parties)], user)

    def _log_in(self, party: Party, user: bytes) -> None:
        """All the way, where nothing is in the way."""
        self.world.say(party, self.world.login(party, user))
        for _ in range(4):
            self.world.step()

    @precondition(lambda self: self.parties)
    @rule(user=st.sampled_from(sorted(PASSWORDS)), stranger=st.sampled_from((None, *NAMES)))
    def all_log_in_and_work(self, user: bytes, stranger: str | None) -> None:
        """In the same words; one device may not know them."""
        if stranger is not None:
            self.world.passwords[stranger][user] = b"new"
        for party in self.parties:
            self.world.say(party, self.world.login(party, user), *(self._request(party, "read") for _ in range(3)))
        for _ in range(8):
            self.world.step()

    @precondition(lambda self: self.parties)
    @rule(which=picks, user=st.sampled_from(sorted(PASSWORDS)), rounds=st.integers(0, 3))
    def log_out_and_leave(self, which: int, user: bytes, rounds: int) -> None:
        """Before the answer, or soon after it."""
        party = self.parties[which % len(self.parties)]
        self._log_in(party, user)
        if party.gone:
            return
        self.world.say(party, self._request(party, "logout"))
        for _ in range(rounds):
            self.world.step()
        if not party.gone:
            self.world.leave(party)

    @precondition(lambda self: self.parties)
    @rule(which=picks, politely=st.booleans())
    def leave(self, which: int, politely: bool) -> None:
        party = self.parties[which % len(self.parties)]
        if politely:
            party.client.end()
        self.world.leave(party)

    # --- devices ------------------------------------------------------------------------------------------------

    @rule(rounds=st.integers(1, 4))
    def go_on(self, rounds: int) -> None:
        for _ in range(rounds):
            self.world.step()

    @precondition(lambda self: self.world.wanted)
    @rule(which=picks, works=st.sampled_from((True, True, False)))
    def open_one(self, which: int, works: bool) -> None:
        device = self.world.wanted[which % len(self.world.wanted)]
        if works and device.will is not Will.MAINT:
            self.world.open_private(device.name)
        else:
            self.world.fail_to_open(device.name)

    @precondition(lambda self: self.world.open_lines)
    @rule(which=picks)
    def run_one(self, which: int) -> None:
        self.world.run(self._line(which))

    @precondition(lambda self: self.world.open_lines)
    @rule(which=picks, count=st.integers(1, 2))
    def deliver(self, which: int, count: int) -> None:
        self.world.deliver(self._line(which), count)

    @precondition(lambda self: self.world.open_lines)
    @rule(which=picks)
    def expire(self, which: int) -> None:
        self.world.expire(self._line(which))

    @precondition(lambda self: self.world.open_lines)
    @rule(which=picks, written=st.booleans())
    def lose(self, which: int, written: bool) -> None:
        self.world.lose(self._line(which).upstream, written=written)

    @rule(name=st.sampled_from(NAMES), user=st.sampled_from(sorted(PASSWORDS)))
    def change_password(self, name: str, user: bytes) -> None:
        self.world.passwords[name][user] = b"new"

    @rule(name=st.sampled_from(NAMES), will=st.sampled_from(Will))
    def will(self, name: str, will: Will) -> None:
        self.world.group.set_will(self.world[name], will)

    @rule(name=st.sampled_from(NAMES))
    def down(self, name: str) -> None:
        self.world.down(name)

    @rule()
    def mend(self) -> None:
        for device in self.world.group.devices:
            self.world.passwords[device.name] = dict(PASSWORDS)
            self.world.group.set_will(device, Will.READY)
            device.tracker.clear(self.world.now)
            device.tracker.shown_equal(self.world.now)
            self.world.up(device.name)
            self.world.open(device.name, max(0, 2 - len(device.upstreams)))

    @rule(seconds=st.sampled_from((0.02, 0.5, 1.1, 2.1, 3.1)))
    def wait(self, seconds: float) -> None:
        self.world.sweep(seconds)

    # --- what holds; what ran, and as whom, is looked at as it runs ---------------------------------------------

    @property
    def parties(self) -> list[Party]:
        return [party for party in self.world.parties if not party.gone]

    def _line(self, which: int) -> Line:
        lines = self.world.open_lines
        return lines[which % len(lines)]

    @invariant()
    def every_client_hears_its_own_answers_in_order(self) -> None:
        for party in self.world.parties:
            party.listen()
        assert not self.world.faults

    @invariant()
    def outstanding_is_what_is_open(self) -> None:
        for device in self.world.group.devices:
            upstreams = (*device.upstreams, *device.private)
            assert device.outstanding == sum(len(upstream.outstanding) for upstream in upstreams)
            assert {each for each in self.world.open_lines if each.device == device.name} == {
                self.world.lines[upstream] for upstream in upstreams
            }

    @invariant()
    def what_carried_a_login_is_somebodys_or_closed(self) -> None:
        held = self.world.held()
        for line in self.world.open_lines:
            owner = line.upstream.owner
            assert line.upstream in self.world[line.device].private or owner is None
            if line.carried:
                assert owner is not None, "a connection that is logged in is in the pool"
                assert line.upstream not in self.world[line.device].free
            if owner is not None:
                assert not owner.over
                assert owner in held, "a connection is open for nobody"

    @invariant()
    def sessions_have_clients(self) -> None:
        sessions, writes = self.world.group.sessions, self.world.group.writes
        for session in sessions.all:
            clients = sum(party.client.route.owner is session for party in self.parties)
            write = writes.current is not None and writes.current.exchange.owner is session
            assert session.clients == clients + write > 0
            assert not session.over
        for session in self.world.sessions - sessions.all:
            assert session.over
            assert session not in sessions.waiting

    @invariant()
    def credentials_are_overwritten_when_nobody_needs_them(self) -> None:
        needed = {login for session in self.world.group.sessions.all for login in session.logins}
        for pin in self.world.group.pins.all:
            needed.update((*pin.logins, *pin.accepted))
        for login in self.world.logins - needed:
            assert not any(login.request)

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        group = self.world.group
        for session in group.sessions.all:
            for exchange in session.queue:
                serving = group.scheduler.serving[:1] if exchange.command.own_device else group.scheduler.serving
                for device in serving:
                    lane = session.lanes.get(device)
                    room = lane is not None and lane.free and device.outstanding < device.limit
                    assert exchange.finished or not room or device in group.resending.avoided(exchange)
            for device, lane in session.lanes.items():
                assert not (lane.bound and lane.free and device.outstanding < device.limit)
                asked = sum(owner is session for owner in self.world.keepers[device].wanted)
                assert lane.opening == asked
                for upstream in lane.free:
                    assert upstream.free
                    assert upstream.has_room
                    assert upstream.owner is session
                    assert not lane.upstreams[upstream].replaying

    @invariant()
    def what_could_act_twice_runs_once_on_a_device(self) -> None:
        seen: set[tuple[str, bytes]] = set()
        for run in self.world.runs:
            if run.code in (b"GPKD", b"QQQQ", b"RKLO") and not run.refused:
                place = (run.line.device if self.world.replicates else "", run.request)
                assert place not in seen
                seen.add(place)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        for _ in range(400):
            world.sweep(0.5)
            for device in world.wanted:
                world.fail_to_open(device.name)
            if not world.outstanding and not any(party.client.busy for party in self.parties):
                break
        self.every_client_hears_its_own_answers_in_order()
        for party in self.parties:
            assert len(party.heard) == len(party.asked) or party.link.finishing, "a request has no end"
        assert world.outstanding == 0
        for party in self.parties:
            world.leave(party)
        assert not world.group.sessions.all
        assert not world.group.pins.all
        left = [line for line in world.open_lines if line.carried or line.upstream.owner is not None]
        assert not left, "a connection is open for nobody"
        self.credentials_are_overwritten_when_nobody_needs_them()
