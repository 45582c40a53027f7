"""Whatever happens to writes in whatever order, crashes of the proxy among it: what must always hold."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from balancer.intents import History
from balancer.snapshot import Outcome
from balancer.upstream import Upstream
from config.model import PrimaryLoss, Role, Writes
from health.state import Health
from tests.support.replicas import Asked, FakeJournal, Replicas, device_settings

NAMES = ("a", "b", "c", "spare")
ROLES = (Role.PRIMARY, Role.PRODUCTION, Role.PRODUCTION, Role.BACKUP)
REFUSED = (Outcome.NO_DEVICE, Outcome.BUSY, Outcome.BLOCKED)

names = st.sampled_from(NAMES)
picks = st.integers(0, 1000)


class WritesMachine(RuleBasedStateMachine):
    """`ran` is what each device has run, in order; that of two devices in sync is the same."""

    @initialize(quorum=st.sampled_from(("all", "majority", "1", "3")), loss=st.sampled_from(PrimaryLoss))
    def begin(self, quorum: str, loss: PrimaryLoss) -> None:
        self.writes = Writes(quorum=quorum, primary_loss=loss)
        self.ran: dict[str, list[bytes]] = {name: [] for name in NAMES}
        self.asked: list[Asked] = []
        self.former: list[Asked] = []  # of proxies that have crashed
        self.refused: list[bytes] = []
        self.number = 0
        self.synchronised = False  # a key table was replaced: what that device had run is no longer to be seen
        self.start([])

    def start(self, lines: list[bytes]) -> None:
        devices = (device_settings(name, role=role) for name, role in zip(NAMES, ROLES, strict=True))
        self.group = Replicas(*devices, writes=self.writes)
        self.group.ran = self.ran
        if lines:
            journal = self.group.journal = FakeJournal(lines)
            known = journal.history
            self.group.group.writes.adopt(journal, known.last, dict(known.behind), self.group.now)
        self.group.ready(connections=2)

    # --- what clients do ----------------------------------------------------------------------------------------

    @rule(keyed=st.booleans())
    def write(self, keyed: bool) -> None:
        self.number += 1
        request = b"[AO%b;AG%d;BD%d;]" % (b"GPGS" if keyed else b"GPKD", self.number, self.number)
        self.asked.append(self.group.write(request=request))

    @rule(which=picks)
    def leave(self, which: int) -> None:
        waiting = [asked for asked in self.asked if not asked.exchange.finished]
        if waiting:
            asked = waiting[which % len(waiting)]
            asked.exchange.abandon()
            self.asked.remove(asked)

    # --- what devices do ----------------------------------------------------------------------------------------

    @property
    def outstanding(self) -> list[Upstream]:
        return [
            up for device in self.group.group.devices for up in (*device.upstreams, *device.private) if up.outstanding
        ]

    def did(self, name: str, request: bytes) -> None:
        """A key made by the device is like no other's."""
        self.ran[name].append(request + name.encode() if request.startswith(b"[AOGPGS") else request)

    def sent(self, which: int) -> tuple[Upstream, bytes]:
        upstreams = sorted(self.outstanding, key=lambda up: (up.device.name, up.link.queued))
        upstream = upstreams[which % len(upstreams)]
        return upstream, upstream.outstanding[0].exchange.request

    @precondition(lambda self: self.outstanding)
    @rule(which=picks)
    def run(self, which: int) -> None:
        upstream, request = self.sent(which)
        self.did(upstream.device.name, request)
        self.group.answer(upstream)

    @precondition(lambda self: self.outstanding)
    @rule(which=picks)
    def run_otherwise(self, which: int) -> None:
        """It does something of its own, and its answer shows it."""
        upstream, request = self.sent(which)
        name, context = upstream.device.name.encode(), upstream.outstanding[0].exchange.context or b""
        self.ran[upstream.device.name].append(b"other " + name + request)
        self.group.answer(upstream, request[:7] + b";AG%b;BB%b;]" % (context, name))

    @precondition(lambda self: self.outstanding)
    @rule(which=picks)
    def refuse(self, which: int) -> None:
        upstream, _ = self.sent(which)
        context = upstream.outstanding[0].exchange.context or b""
        self.group.answer(upstream, b"[AOERRO;AM34;ANAO;BBNO;AG%b;]" % context)

    @precondition(lambda self: self.outstanding)
    @rule(which=picks, ran=st.booleans(), written=st.booleans())
    def cut(self, which: int, ran: bool, written: bool) -> None:
        upstream, request = self.sent(which)
        if ran:
            self.did(upstream.device.name, request)
        self.group.lose(upstream, written=written or ran)

    @rule()
    def flush(self) -> None:
        self.group.flush()

    @rule(name=names, ran=st.booleans())
    def down(self, name: str, ran: bool) -> None:
        for upstream in [up for up in self.outstanding if up.device.name == name]:
            if ran:
                self.did(name, upstream.outstanding[0].exchange.request)
            self.group.lose(upstream, written=ran)
        for upstream in tuple(self.group[name].upstreams):
            self.group.lose(upstream)
        self.group.down(name)

    @rule(name=names)
    def up(self, name: str) -> None:
        self.group.open(name)
        self.group.up(name)

    @rule(name=names)
    def prove(self, name: str) -> None:
        """A read brings it back from probation."""
        if self.group[name].health is Health.PROBATION:
            self.group[name].tracker.request_answered(self.group.now)
            self.group.group.changed(self.group[name])

    @rule(seconds=st.sampled_from((0.1, 1.0, 4.0)), ran=st.booleans())
    def wait(self, seconds: float, ran: bool) -> None:
        before = [(up, up.outstanding[0].exchange.request) for up in self.outstanding]
        flushed = {up: up.link.touched > up.outstanding[0].mark for up, _ in before}
        self.group.wait(seconds)
        for upstream, request in before:
            if not upstream.link.open and flushed[upstream] and ran:
                self.did(upstream.device.name, request)  # after we gave up

    # --- what brings devices back -------------------------------------------------------------------------------

    @property
    def quiet(self) -> bool:
        return not self.group.group.writes.under_way

    def reference(self) -> str:
        in_sync = [name for name in NAMES if name not in self.group.behind()]
        return in_sync[0] if in_sync else max(NAMES, key=lambda name: (self.group[name].lacks, name == "a"))

    @precondition(lambda self: self.quiet)
    @rule(name=names, synchronise=st.booleans())
    def compare(self, name: str, synchronise: bool) -> None:
        """A likeness check, before which an operator may have brought the device into line."""
        reference = self.reference()
        if synchronise:
            self.synchronised = True
            self.ran[name] = list(self.ran[reference])
        if self.ran[name] == self.ran[reference] and self.group[name].tracker.is_behind:
            self.group.open(name)
            self.group.show_equal(name)

    # --- the proxy ----------------------------------------------------------------------------------------------

    @rule(held=st.booleans())
    def disk(self, held: bool) -> None:
        self.group.journal.held = held
        if not held:
            self.group.journal.let_go()

    @rule(broken=st.booleans())
    def disk_full(self, broken: bool) -> None:
        self.group.journal.broken = broken

    @rule(ran=st.lists(st.booleans(), min_size=8, max_size=8), keep=picks)
    def crash(self, ran: list[bool], keep: int) -> None:
        """It dies, and perhaps its machine with it: what was noted since the last sync may be gone."""
        for upstream, did in zip(self.outstanding, ran, strict=False):
            attempt = upstream.outstanding[0]
            if did and upstream.link.touched > attempt.mark:
                self.did(upstream.device.name, attempt.exchange.request)
        lines, synced = self.group.journal.lines, self.group.journal.synced
        self.former += self.asked
        self.refused += [a.exchange.request for a in self.asked if a.outcome in REFUSED]
        self.asked = []
        self.start(lines[: synced + keep % (len(lines) - synced + 1)])

    @rule()
    def compact(self) -> None:
        self.group.journal.renew()

    # --- what must hold -----------------------------------------------------------------------------------------

    @invariant()
    def no_device_ran_anything_twice(self) -> None:
        for name, done in self.ran.items():
            assert len(set(done)) == len(done), name

    @invariant()
    def who_is_not_behind_has_run_the_same_in_the_same_order(self) -> None:
        group = self.group.group
        in_sync = [device.name for device in group.devices if not device.tracker.is_behind]
        current = group.writes.current
        for name in in_sync:
            ours, theirs = self.ran[name], self.ran[in_sync[0]]
            if current is not None:  # some have it already
                request = current.exchange.request
                ours = [each for each in ours if request not in each]
                theirs = [each for each in theirs if request not in each]
            assert ours == theirs, (name, in_sync[0])

    @invariant()
    def who_is_behind_serves_nothing(self) -> None:
        for device in self.group.group.devices:
            if device.tracker.is_behind:
                assert device not in self.group.group.scheduler.serving
                assert not device.on_trial

    @invariant()
    def what_was_refused_never_left(self) -> None:
        for asked in self.asked:
            if asked.outcome in REFUSED:
                assert self.group.sent_count(asked.exchange.request) == 0
                self.nobody_ran(asked.exchange.request)
        for request in self.refused:
            self.nobody_ran(request)

    def nobody_ran(self, request: bytes) -> None:
        assert not any(request in each for done in self.ran.values() for each in done)

    @invariant()
    def success_means_that_everybody_has_it_who_may_serve_and_enough_are_there(self) -> None:
        writes = self.group.group.writes
        for asked in self.asked:
            if asked.outcome is not Outcome.OK:
                continue
            request = asked.exchange.request
            having = [name for name in NAMES if any(request in each for each in self.ran[name])]
            under_way = writes.current is not None and writes.current.exchange is asked.exchange
            for device in self.group.group.devices:
                assert device.name in having or device.tracker.is_behind or under_way, device.name
            if asked.exchange.code == b"GPKD" and not self.synchronised:
                assert len(having) >= {"all": 1, "majority": 3, "1": 1, "3": 3}[self.writes.quorum]

    @invariant()
    def every_write_ends_at_most_once(self) -> None:
        assert all(asked.ends <= 1 for asked in (*self.asked, *self.former))

    @invariant()
    def the_journal_names_everybody_who_is_behind(self) -> None:
        found: History = self.group.journal.read()
        behind = self.group.behind()
        assert behind <= set(found.behind) | set(self.group.group.writes.behind.marks)
        if self.quiet:
            self.group.group.writes.expire(self.group.now)
            assert self.group.behind() <= set(self.group.journal.read().behind)

    def teardown(self) -> None:
        if not hasattr(self, "group"):
            return
        self.group.journal.held = False
        self.group.journal.let_go()
        for _ in range(60):
            self.group.flush()
            self.group.wait(0.5)
        assert all(asked.ends == 1 for asked in self.asked)
        assert self.group.group.writes.current is None
        assert not self.group.group.writes.queue
        assert self.group.outstanding == 0


TestWritesMachine = WritesMachine.TestCase
TestWritesMachine.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
