"""Whatever happens in whatever order: what must always hold in a group, and at the end of everything."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from balancer.device import Device
from balancer.pin import Pin
from balancer.snapshot import Will
from balancer.upstream import Upstream
from config.model import Balancing, Ejection, Policy, Queue, Retries, Role
from health.state import Health
from tests.support.core import Asked, FakeGroup, FakeLink, device_settings

READS, WRITES = ("ECHO", "RAND", "HASH"), ("VPIN",)  # what goes to several devices has a machine of its own
NAMES = ("a", "b", "spare")

names = st.sampled_from(NAMES)
picks = st.integers(0, 1000)


class GroupMachine(RuleBasedStateMachine):
    @initialize(
        pipeline=st.integers(1, 2),
        limit=st.integers(1, 4),
        policy=st.sampled_from(Policy),
        queue=st.sampled_from((0, 2, 10)),
        attempts=st.integers(0, 3),
        reserve=st.integers(0, 10),
        connections=st.sampled_from((0, 1, 1, 2)),
        rate=st.sampled_from((None, None, 2.0, 60.0)),
    )
    def begin(
        self,
        pipeline: int,
        limit: int,
        policy: Policy,
        queue: int,
        attempts: int,
        reserve: int,
        connections: int,
        rate: float | None,
    ) -> None:
        roles = (Role.PRIMARY, Role.PRODUCTION, Role.BACKUP)
        self.group = FakeGroup(
            *(
                device_settings(name, role=role, pipeline=pipeline, outstanding=limit, private=2, rate=rate)
                for name, role in zip(NAMES, roles, strict=True)
            ),
            balancing=Balancing(policy=policy),
            queue=Queue(size=queue, timeout=1.0),
            retries=Retries(attempts=attempts, attempt_timeout=1.0, reserve=reserve),
            ejection=Ejection(failures=2, base=2.0),
            request_timeout=4.0,
        )
        if connections:
            self.group.ready(connections)
        self.asked: list[Asked] = []
        self.abandoned: set[Asked] = set()
        self.pins: list[Pin] = []
        self.answered: dict[FakeLink, int] = {}  # requests that the device has answered, by link
        self.tokens = 0

    # --- what happens -------------------------------------------------------------------------------------------

    def request(self, code: str, with_context: bool) -> bytes:
        self.tokens += 1
        context = b"AG%d;" % self.tokens if with_context else b""
        return b"[AO%b;%bBD%d;]" % (code.encode(), context, self.tokens)

    @rule(code=st.sampled_from(READS + WRITES), with_context=st.booleans(), count=st.integers(1, 5))
    def submit(self, code: str, with_context: bool, count: int) -> None:
        for _ in range(count):
            self.asked.append(self.group.submit(self.request(code, with_context)))

    @rule()
    def pin(self) -> None:
        pin = self.group.pin()
        if pin is not None:
            self.pins.append(pin)

    @precondition(lambda self: self.live_pins)
    @rule(code=st.sampled_from(("RKLG", "ECHO", "GPKD")), which=picks)
    def submit_pinned(self, code: str, which: int) -> None:
        pin = self.live_pins[which % len(self.live_pins)]
        self.asked.append(self.group.submit_pinned(pin, self.request(code, True)))

    @precondition(lambda self: self.live_pins)
    @rule(which=picks)
    def client_leaves(self, which: int) -> None:
        pin = self.live_pins[which % len(self.live_pins)]
        for asked in self.asked:
            if asked.pin is pin and not asked.exchange.finished:
                asked.exchange.abandon()
                self.abandoned.add(asked)
        self.group.group.pins.close(pin)

    @precondition(lambda self: self.unfinished)
    @rule(which=picks)
    def nobody_waits(self, which: int) -> None:
        asked = self.unfinished[which % len(self.unfinished)]
        asked.exchange.abandon()
        self.abandoned.add(asked)

    @rule(name=names, private=st.booleans(), works=st.booleans())
    def open(self, name: str, private: bool, works: bool) -> None:
        device = self.group[name]
        if not private:
            if len(device.upstreams) < 4 and device.will is not Will.MAINT:
                self.group.open(name)
            return
        wanted = self.group.keepers[device].wanted
        if wanted and works:
            self.group.open_private(name)
        elif wanted:
            self.group.group.pins.open_failed(wanted.popleft(), self.group.now)

    @rule(which=picks, writes=st.integers(1, 4))
    def flush(self, which: int, writes: int) -> None:
        if self.upstreams:
            self.link_of(which).flush(writes)

    @rule()
    def flush_all(self) -> None:
        self.group.flush()

    def right_answer(self, link: FakeLink) -> bytes | None:
        """To the oldest request that the device has got and not answered, naming what it saw."""
        if self.answered.get(link, 0) == len(link.sent):
            link.flush(1)
        done = self.answered.get(link, 0)
        if done >= len(link.sent):
            return None
        request = link.sent[done]
        self.answered[link] = done + 1
        return request[:-1] + b"BBY;]"

    @precondition(lambda self: self.unanswered)
    @rule(which=picks)
    def answer_one(self, which: int) -> None:
        self._answer(which, 1)

    @precondition(lambda self: self.unanswered)
    @rule(which=picks, count=st.integers(1, 3))
    def answer_some(self, which: int, count: int) -> None:
        self._answer(which, count)

    def _answer(self, which: int, count: int) -> None:
        upstream = self.unanswered[which % len(self.unanswered)]
        link: FakeLink = upstream.link  # type: ignore[assignment]
        found = [answer for _ in range(count) if (answer := self.right_answer(link)) is not None]
        upstream.received(b"".join(found), self.group.now)

    @precondition(lambda self: self.unanswered)
    @rule(which=picks)
    def answer_with_an_error(self, which: int) -> None:
        upstream = self.unanswered[which % len(self.unanswered)]
        right = self.right_answer(upstream.link)  # type: ignore[arg-type]
        assert right is not None
        upstream.received(b"[AOERRO" + right[7:], self.group.now)

    @precondition(lambda self: self.unanswered)
    @rule(which=picks, wrong=st.sampled_from((b"[AOECHO;AGnobodys;]", b"x", b"[AOTIME;]", b"[]", b"[AOERRO;AGx;]")))
    def answer_wrongly(self, which: int, wrong: bytes) -> None:
        upstream = self.unanswered[which % len(self.unanswered)]
        upstream.link.flush()
        if upstream.outstanding[0].exchange.context is None and b"AG" in wrong:
            wrong = b"[AOTIME;]"  # without AG nobody could tell
        upstream.received(wrong, self.group.now)
        assert not upstream.link.open

    @precondition(lambda self: self.unanswered)
    @rule(which=picks)
    def answer_twice(self, which: int) -> None:
        upstream = self.unanswered[which % len(self.unanswered)]
        link: FakeLink = upstream.link  # type: ignore[assignment]
        if any(attempt.exchange.context is None for attempt in list(upstream.outstanding)[1:]):
            return  # without AG nobody could tell
        right = self.right_answer(link)
        assert right is not None
        upstream.received(right + right, self.group.now)
        assert not link.open

    @precondition(lambda self: self.upstreams)
    @rule(which=picks, by_us=st.booleans())
    def lose(self, which: int, by_us: bool) -> None:
        upstream = self.upstreams[which % len(self.upstreams)]
        if by_us:
            upstream.close("a test's wish")
        else:
            upstream.link.lose("a test's wish")

    @rule(seconds=st.sampled_from((0.02, 0.3, 1.1, 2.5, 4.1)))
    def wait(self, seconds: float) -> None:
        self.group.wait(seconds)

    @rule(name=names, trouble=st.sampled_from((*Will, "distrust", "bad ping", "refused")))
    def trouble(self, name: str, trouble: object) -> None:
        """One in many steps, and mended soon, so that most of the time there is something to balance."""
        device, tracker = self.group[name], self.group[name].tracker
        if isinstance(trouble, Will):
            self.group.group.set_will(device, trouble)
        elif trouble == "distrust":
            tracker.distrust("a test's wish", self.group.now)
        elif device.will is not Will.MAINT:
            tracker.ping_failed("a test's wish", self.group.now, for_certain=trouble == "refused")
        self.group.group.changed(device)

    @rule()
    def mend(self) -> None:
        for device in self.devices:
            self.group.group.set_will(device, Will.READY)
            device.tracker.clear(self.group.now)
            self.group.up(device.name)
            if not device.upstreams:
                self.group.open(device.name)

    @rule(name=names)
    def ping(self, name: str) -> None:
        if self.group[name].will is not Will.MAINT:
            self.group.up(name)

    @rule(name=names)
    def ping_on_a_connection(self, name: str) -> None:
        device = self.group[name]
        if device.free:
            ping = self.group.exchange(self.request("ECHO", with_context=True), [], ping=True)
            ping.done = lambda _: None
            self.group.group.send_ping(device, ping, self.group.now)

    # --- what holds ---------------------------------------------------------------------------------------------

    @property
    def unfinished(self) -> list[Asked]:
        return [asked for asked in self.asked if not asked.exchange.finished]

    @property
    def live_pins(self) -> list[Pin]:
        return [pin for pin in self.pins if not pin.over]

    @property
    def devices(self) -> list[Device]:
        return self.group.group.devices

    @property
    def upstreams(self) -> list[Upstream]:
        order = {id(link): n for n, link in enumerate(self.group.links)}
        found = [upstream for device in self.devices for upstream in (*device.upstreams, *device.private)]
        return sorted(found, key=lambda upstream: order[id(upstream.link)])

    @property
    def unanswered(self) -> list[Upstream]:
        """Where an answer is outstanding."""
        return [upstream for upstream in self.upstreams if upstream.outstanding]

    def link_of(self, which: int) -> FakeLink:
        return self.upstreams[which % len(self.upstreams)].link  # type: ignore[return-value]

    @invariant()
    def every_exchange_ends_at_most_once_and_an_answer_is_its_own(self) -> None:
        for asked in self.asked:
            exchange = asked.exchange
            assert asked.ends == (exchange.finished and asked not in self.abandoned) or asked in self.abandoned
            assert asked.ends <= 1
            if exchange.answer is not None:
                token = exchange.request[exchange.request.index(b"BD") :].split(b";")[0]
                assert token + b";" in exchange.answer

    @invariant()
    def outstanding_is_what_is_open(self) -> None:
        for device in self.devices:
            attempts = [
                attempt for upstream in (*device.upstreams, *device.private) for attempt in upstream.outstanding
            ]
            assert device.outstanding == len(attempts)
            assert device.work >= -1e-9
            if not attempts:
                assert device.work == 0.0
        for asked in self.asked:
            assert asked.exchange.attempts == len(self.group.upstreams_of(asked))

    @invariant()
    def nobody_waits_while_a_device_that_may_have_it_has_room(self) -> None:
        group = self.group.group
        for exchange in group.queue:
            if not exchange.finished:
                for device in group.scheduler.serving:
                    assert not device.has_room or device in group.resending.avoided(exchange)
        for device in self.devices:
            if any(not exchange.finished for exchange in device.waiting):
                assert device is group.scheduler.steady
                assert not device.has_room
        for pin in self.live_pins:
            if pin.upstream is not None and any(not exchange.finished for exchange in pin.queue):
                full = pin.upstream.device.outstanding >= pin.upstream.device.limit
                assert full or not pin.upstream.has_room

    @invariant()
    def free_connections_are_free(self) -> None:
        for device in self.devices:
            assert len(set(device.free)) == len(device.free)
            for upstream in device.free:
                assert upstream.free
                assert upstream.has_room
                assert upstream.owner is None
                assert upstream in device.upstreams
            for upstream in device.upstreams:
                assert upstream.link.open
                assert upstream.free == upstream.has_room

    @invariant()
    def what_could_act_twice_leaves_once(self) -> None:
        for asked in self.asked:
            if not asked.exchange.command.repeatable:
                assert self.group.sent_count(asked.exchange.request) <= 1

    @invariant()
    def what_has_an_owner_travels_on_its_own_connection_and_nothing_else_does(self) -> None:
        owners = {asked.exchange.request: asked.pin for asked in self.asked}
        for link in self.group.links:
            for request in link.sent:
                assert owners.get(request) is link.handler.owner  # type: ignore[attr-defined]

    @invariant()
    def who_serves_may_serve(self) -> None:
        scheduler = self.group.group.scheduler
        for device in (*scheduler.serving, *scheduler.trials):
            assert device.wanted
            assert device.health not in (Health.UNSAFE, Health.UNKNOWN)
        if any(device.wanted and device.health is Health.UP and not device.is_backup for device in self.devices):
            assert all(device.health is Health.UP for device in scheduler.serving)

    def teardown(self) -> None:
        if not hasattr(self, "group"):
            return
        for _ in range(20):
            self.group.flush()
            self.group.wait(0.5)
        for asked in self.asked:
            assert asked.ends == 1 or asked in self.abandoned
            assert asked.exchange.attempts == 0
        assert self.group.outstanding == 0
        assert not self.group.group.queue
        assert all(not device.waiting and device.work == 0.0 for device in self.devices)


TestGroupMachine = GroupMachine.TestCase
TestGroupMachine.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
