"""Two or three processes write to the same devices, in any order, and die amid it: what must always hold."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from balancer.snapshot import Outcome
from balancer.upstream import Upstream
from config.model import PrimaryLoss, Role, Writes
from tests.support.common_journal import CommonFile, CommonJournal
from tests.support.replicas import Asked, Replicas, device_settings

NAMES = ("a", "b", "spare")
ROLES = (Role.PRIMARY, Role.PRODUCTION, Role.BACKUP)

names = st.sampled_from(NAMES)
picks = st.integers(0, 1000)
processes = st.integers(0, 5)  # modulo how many there are


class Processes(RuleBasedStateMachine):
    """`ran` is what each device has run, in order, whoever asked it to; `only` is known to the second process alone."""

    @initialize(
        count=st.integers(2, 3), quorum=st.sampled_from(("all", "majority", "1")), loss=st.sampled_from(PrimaryLoss)
    )
    def begin(self, count: int, quorum: str, loss: PrimaryLoss) -> None:
        self.writes = Writes(quorum=quorum, primary_loss=loss)
        self.ran: dict[str, list[bytes]] = {name: [] for name in (*NAMES, "only")}
        self.file = CommonFile()
        self.told: list[bytes] = []  # of success, by processes that have died too
        self.asked: list[tuple[int, Asked]] = []
        self.ends: list[Asked] = []
        self.number = 0
        self.groups: list[Replicas] = []
        self.journals: list[CommonJournal] = []
        for which in range(count):
            self.groups.append(self.started(which))

    def started(self, which: int) -> Replicas:
        devices = [device_settings(name, role=role) for name, role in zip(NAMES, ROLES, strict=True)]
        if which == 1:
            devices.append(device_settings("only"))
        group = Replicas(*devices, writes=self.writes)
        group.ran = self.ran
        journal = CommonJournal(self.file)
        self.journals[which : which + 1] = [journal]
        group.group.writes.adopt(journal, journal.history.last, dict(journal.history.behind), group.now)
        return group.ready(connections=2)  # type: ignore[return-value]

    def settle(self) -> None:
        """Each has looked at the journal since; until then a device may serve for a moment longer."""
        for _ in range(2 * len(self.groups)):
            self.file.settle()
            for group in self.groups:
                group.wait(0.0)
                group.flush()
        for _, asked in self.asked:
            if asked.outcome is Outcome.OK and asked.exchange.request not in self.told:
                self.told.append(asked.exchange.request)

    # --- what happens ---------------------------------------------------------------------------------------------

    @rule(which=processes)
    def write(self, which: int) -> None:
        self.number += 1
        which %= len(self.groups)
        asked = self.groups[which].write(request=b"[AOGPKD;AG%d;BD%d;]" % (self.number, self.number))
        self.asked.append((which, asked))
        self.settle()

    @rule(which=processes)
    def write_without_trouble(self, which: int) -> None:
        self.write(which)
        for _ in range(8):
            if self.outstanding:
                self.answer(0, refused=False)

    @property
    def outstanding(self) -> list[tuple[Replicas, Upstream]]:
        return _outstanding(self.groups)

    @precondition(lambda self: self.outstanding)
    @rule(which=picks, refused=st.sampled_from((False, False, False, True)))
    def answer(self, which: int, refused: bool) -> None:
        group, upstream = self.outstanding[which % len(self.outstanding)]
        exchange = upstream.outstanding[0].exchange
        if refused:
            group.answer(upstream, b"[AOERRO;AM34;ANAO;BBNO;AG%b;]" % (exchange.context or b""))
        else:
            self.ran[upstream.device.name].append(exchange.request)
            group.answer(upstream)
        self.settle()

    @precondition(lambda self: self.outstanding)
    @rule(which=picks, ran=st.booleans())
    def cut(self, which: int, ran: bool) -> None:
        group, upstream = self.outstanding[which % len(self.outstanding)]
        if ran:
            self.ran[upstream.device.name].append(upstream.outstanding[0].exchange.request)
        group.lose(upstream, written=ran)
        self.settle()

    @rule(which=processes, name=names, up=st.booleans())
    def health(self, which: int, name: str, up: bool) -> None:
        group = self.groups[which % len(self.groups)]
        if up:
            group.open(name)
            group.up(name)
        else:
            for upstream in tuple(group[name].upstreams):
                group.lose(upstream, written=True)
            group.down(name)
        self.settle()

    @rule(seconds=st.sampled_from((0.1, 1.0, 12.0)))
    def wait(self, seconds: float) -> None:
        for group in self.groups:
            group.wait(seconds)
        self.settle()

    @rule(broken=st.booleans())
    def disk(self, broken: bool) -> None:
        self.file.broken = broken

    @rule(which=processes, name=st.sampled_from((*NAMES, "only")), synchronise=st.booleans())
    def compare(self, which: int, name: str, synchronise: bool) -> None:
        """A likeness check, before which an operator may have brought the device into line."""
        group = self.groups[which % len(self.groups)]
        devices = {device.name for device in group.group.devices}
        in_sync = sorted(devices - group.behind())
        if name not in group.behind() or group.group.writes.under_way or not in_sync:
            return
        reference = self.ran[in_sync[0]]
        if synchronise:
            self.ran[name] = list(reference)
        if self.ran[name] == reference:
            group.open(name)
            group.show_equal(name)
        self.settle()

    @rule(which=processes, ran=st.lists(st.booleans(), min_size=8, max_size=8))
    def die(self, which: int, ran: list[bool]) -> None:
        """What it has sent may run; the others settle it, and then a new one comes."""
        which %= len(self.groups)
        group = self.groups.pop(which)
        for (_, upstream), did in zip(_outstanding([group]), ran, strict=False):
            if did:
                self.ran[upstream.device.name].append(upstream.outstanding[0].exchange.request)
        self.ends += [asked for of, asked in self.asked if of == which]
        self.asked = [(of, asked) for of, asked in self.asked if of != which]
        self.journals[which].die()
        self.settle()
        for _ in range(60):  # a process that starts takes longer than a write
            for other in self.groups:
                if other.group.writes.current is not None:
                    other.wait(0.5)
                    self.settle()
        serving = [device.name for device in self.groups[0].group.devices if device.serving]
        if which == 1 and serving:  # who adds a device to the configuration has brought it into line
            self.ran["only"] = list(self.ran[serving[0]])
        self.groups.insert(which, self.started(which))
        self.settle()

    # --- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def no_device_ran_anything_twice(self) -> None:
        for name, done in self.ran.items():
            assert len(set(done)) == len(done), name

    @invariant()
    def one_write_at_a_time(self) -> None:
        assert sum(group.group.writes.current is not None for group in self.groups) <= 1

    @invariant()
    def who_serves_has_what_was_told_and_in_the_order_of_the_others(self) -> None:
        under_way = {group.group.writes.current.exchange.request for group in self.groups if group.group.writes.current}
        serving = [
            (which, device.name) for which, group in enumerate(self.groups) for device in group.group.scheduler.serving
        ]
        for which, name in serving:
            assert set(self.told) <= set(self.ran[name]), (which, name)
            ours, theirs = ([each for each in self.ran[of] if each not in under_way] for of in (name, serving[0][1]))
            assert ours == theirs, (which, name, serving[0])

    @invariant()
    def every_write_ends_at_most_once(self) -> None:
        assert all(asked.ends <= 1 for asked in (*self.ends, *(asked for _, asked in self.asked)))

    def teardown(self) -> None:
        if not hasattr(self, "groups"):
            return
        for _ in range(60):
            for group in self.groups:
                group.wait(0.5)
            self.settle()
        assert all(asked.ends == 1 for _, asked in self.asked)
        assert all(group.group.writes.current is None for group in self.groups)
        assert self.file.holder is None


def _outstanding(groups: list[Replicas]) -> list[tuple[Replicas, Upstream]]:
    found = [
        (which, device.name, up.link.queued, number, group, up)
        for which, group in enumerate(groups)
        for device in group.group.devices
        for number, up in enumerate((*device.upstreams, *device.private))
        if up.outstanding
    ]
    return [(group, up) for *_, group, up in sorted(found, key=lambda each: each[:4])]


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
