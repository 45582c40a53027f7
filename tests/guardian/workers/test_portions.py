"""What workers may do together is what the configuration says, wherever more would harm somebody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from config import model
from config.model import Bind, Config, Group, Limits, Listener, Queue, Retries, Role
from guardian.workers.portions import excesses, portion

counts = st.integers(1, 300)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    devices = tuple(
        model.Device(
            name=f"hsm{number}",
            address=Bind(host="192.0.2.1", port=9100),
            role=Role.PRODUCTION if number else Role.PRIMARY,
            connections=draw(counts),
            outstanding=draw(counts),
            private=draw(st.integers(0, 300)),
            rate=draw(st.none() | st.floats(1.0, 1e6)),
        )
        for number in range(draw(st.integers(1, 3)))
    )
    group = Group(
        name="payments",
        queue=Queue(size=draw(st.integers(0, 2000))),
        retries=Retries(reserve=draw(st.integers(0, 300))),
        devices=devices,
    )
    limits = Limits(connections=draw(counts), handshakes=draw(counts))
    return Config(
        listeners=(Listener(name="excrypt", bind=Bind(host="127.0.0.1", port=0), group="payments", limits=limits),),
        groups=(group,),
    )


workers = st.integers(1, 64)
few = settings(max_examples=40)
BOUNDED: dict[str, Callable[[Config], Any]] = {
    "listeners.excrypt.limits.connections": lambda config: config.listeners[0].limits.connections,
    "groups.payments.devices.hsm0.connections": lambda config: config.groups[0].devices[0].connections,
    "groups.payments.devices.hsm0.outstanding": lambda config: config.groups[0].devices[0].outstanding,
    "groups.payments.devices.hsm0.private": lambda config: config.groups[0].devices[0].private,
}


@few
@given(config=configs(), count=workers)
def test_together_they_do_what_the_configuration_says_or_it_is_told_where_not(config: Config, count: int) -> None:
    told = dict(excesses(config, count))
    portions = [portion(config, number, count) for number in range(1, count + 1)]
    for path, of in BOUNDED.items():
        shares, whole = [of(each) for each in portions], of(config)
        assert sum(shares) == whole or path in told
        assert max(shares) - min(shares) <= 1
        if path in told:
            assert told[path] == whole
            assert set(shares) == {1}


@few
@given(config=configs(), count=workers)
def test_resends_at_once_and_licensed_rates_are_never_exceeded(config: Config, count: int) -> None:
    groups = [portion(config, number, count).groups[0] for number in range(1, count + 1)]
    handshakes = [portion(config, number, count).listeners[0].limits.handshakes for number in range(1, count + 1)]
    assert sum(handshakes) == max(config.listeners[0].limits.handshakes, count)
    assert sum(group.retries.reserve for group in groups) == config.groups[0].retries.reserve
    for place, device in enumerate(config.groups[0].devices):
        rates = [group.devices[place].rate for group in groups]
        if device.rate is None:
            assert set(rates) == {None}
        else:
            assert sum(rate or 0.0 for rate in rates) <= device.rate * (1 + 1e-9)


@few
@given(config=configs(), count=workers, number=st.integers(1, 64))
def test_what_is_switched_off_stays_off_and_what_is_on_stays_on(config: Config, count: int, number: int) -> None:
    assume(number <= count)
    whole, part = config.groups[0], portion(config, number, count).groups[0]
    assert bool(whole.queue.size) == bool(part.queue.size)
    for before, after in zip(whole.devices, part.devices, strict=True):
        assert bool(before.private) == bool(after.private)
        assert after.connections >= 1
        assert after.outstanding >= 1


@few
@given(config=configs(), count=workers, number=st.integers(1, 64))
def test_everything_else_is_the_same_for_all(config: Config, count: int, number: int) -> None:
    assume(number <= count)
    part = portion(config, number, count)
    group = part.groups[0]
    whole = config.groups[0]
    restored = attrs.evolve(
        part,
        listeners=(attrs.evolve(part.listeners[0], limits=config.listeners[0].limits),),
        groups=(
            attrs.evolve(
                group,
                queue=whole.queue,
                retries=attrs.evolve(group.retries, reserve=whole.retries.reserve),
                devices=tuple(
                    attrs.evolve(
                        after,
                        connections=before.connections,
                        outstanding=before.outstanding,
                        private=before.private,
                        rate=before.rate,
                    )
                    for before, after in zip(whole.devices, group.devices, strict=True)
                ),
            ),
        ),
    )
    assert restored == config


@few
@given(config=configs())
def test_one_worker_has_all_of_it(config: Config) -> None:
    assert portion(config, 1, 1) is config
    assert not list(excesses(config, 1))
