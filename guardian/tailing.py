"""Completions for somebody who looks on: which they want, and a queue that never waits for them. Pure.

A line says who asked for what and how it ended; never a field of a message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import attrs

if TYPE_CHECKING:
    from balancer.exchange import Exchange

    from .client import Client

KEPT: Final = 4096  # lines that wait for a reader; what comes on top is lost, and counted


class Line(NamedTuple):
    """One completion. ``at`` is Unix time, durations are milliseconds."""

    at: float
    group: str
    client: str | None  # the Common Name of its certificate, or its fingerprint; None where it showed none
    address: str
    command: str | None  # None: it was no message
    device: str | None  # whose answer it was, or where it failed; None: none had it
    outcome: str
    ms: float  # from the request read to the answer written
    device_ms: float | None  # how much of that the device had it
    resent: int
    completion: int  # the group's number of the answer, as exemplars of metrics say it


@attrs.frozen(kw_only=True)
class Wanted:
    """Which completions; an empty set means any."""

    group: str | None = None
    commands: frozenset[bytes] = frozenset()
    outcomes: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()  # by name, or as group/device
    client: str | None = None  # a Common Name, the beginning of a fingerprint (sha256:...), or an address
    slower: float = 0.0  # seconds; only what took at least that long


class Backlog:
    """Lines that wait for a reader, who calls `take` now and then; woken by ``wake`` where none waited before."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.end: Callable[[], None] = lambda: None  # the watching; set by whoever began it
        self._wake = wake
        self._lines: deque[Line] = deque()
        self._lost = 0

    def take(self, most: int) -> tuple[list[Line], int]:
        """The oldest lines that wait, and how many were lost after the last of all that wait (0 while some remain)."""
        lines = [self._lines.popleft() for _ in range(min(most, len(self._lines)))]
        if self._lines:
            return lines, 0
        lost, self._lost = self._lost, 0
        return lines, lost


class Tail(Backlog):
    """Give `observe` to `Completions.watch`."""

    def __init__(
        self, wanted: Wanted, clock: Callable[[], float], wall: Callable[[], float], wake: Callable[[], None]
    ) -> None:
        """``clock``: seconds, that of the exchanges. ``wall``: Unix time."""
        super().__init__(wake)
        self._wanted = wanted
        self._clock = clock
        self._wall = wall

    def observe(self, group: str, client: object, exchange: Exchange) -> None:
        """On the data path: cheap where it is not wanted, and where nobody reads."""
        wanted = self._wanted
        if wanted.commands and exchange.code not in wanted.commands:
            return
        if wanted.outcomes and exchange.outcome.value not in wanted.outcomes:
            return
        seconds = self._clock() - exchange.arrived
        if seconds < wanted.slower:
            return
        tried = exchange.tried
        device = exchange.device or (tried[-1] if tried else None)
        if wanted.devices and (device is None or not {device.name, f"{group}/{device.name}"} & wanted.devices):
            return
        known = cast("Client", client)
        if wanted.client is not None and not _is(known, wanted.client):
            return
        if len(self._lines) >= KEPT:
            self._lost += 1
            return
        peer = known.peer
        self._lines.append(
            Line(
                self._wall(),
                group,
                (peer.common_name or peer.fingerprint) if peer is not None else None,
                known.address,
                exchange.code.decode("ascii") or None,
                device.name if device is not None else None,
                exchange.outcome.value,
                round(seconds * 1000, 3),
                round(exchange.device_seconds * 1000, 3) if exchange.device is not None else None,
                exchange.resent,
                known.completion,
            )
        )
        if len(self._lines) == 1:
            self._wake()


def _is(client: Client, wanted: str) -> bool:
    peer = client.peer
    if client.address == wanted:
        return True
    if peer is None:
        return False
    return peer.common_name == wanted or (wanted.startswith("sha256:") and peer.fingerprint.startswith(wanted))


def as_fields(line: Line) -> Mapping[str, object]:
    """As JSON says it; the time is for the caller to write."""
    fields = line._asdict()
    del fields["at"]
    return fields
