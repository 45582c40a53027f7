"""Who is connected now, and whose logins are held: views of what the data path keeps, made a slice at a time.

Ten thousand clients take some 50 ms to look at: too long for the loop in one go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from balancer.session import Session

if TYPE_CHECKING:
    from balancer.group import Group
    from balancer.transport.peers import Peer

    from .listener import Listener

_SLICE: Final = 100  # looked at before everybody else has a turn


class ClientView(NamedTuple):
    """One client connection. ``since`` is Unix time."""

    name: str | None  # the Common Name of its certificate
    fingerprint: str | None  # None where it showed no certificate
    address: str
    listener: str
    group: str
    kind: str  # shared, session, pinned
    since: float
    outstanding: int  # requests whose answers it is owed
    requests: int  # since it is connected


class SessionView(NamedTuple):
    """One login that is held. ``since`` is Unix time. Of the login itself nothing is shown, not even its user."""

    group: str
    name: str | None  # the Common Name of its clients' certificate
    fingerprint: str | None
    clients: int
    connections: Mapping[str, int]  # to each device
    queued: int  # requests that wait for one
    since: float


async def clients(listeners: Sequence[Listener], wall_minus_clock: float) -> list[ClientView]:
    """Those that are connected; who leaves meanwhile may be in it or not."""
    found = []
    for listener in listeners:
        for number, client in enumerate(tuple(listener.clients)):
            if number % _SLICE == 0:
                await trio.lowlevel.checkpoint()
            peer = client.peer
            found.append(
                ClientView(
                    peer.common_name if peer is not None else None,
                    peer.fingerprint if peer is not None else None,
                    client.address,
                    listener.terms.settings.name,
                    listener.group_name,
                    client.kind,
                    client.connected_at + wall_minus_clock,
                    client.owed,
                    client.requests,
                )
            )
    return found


async def sessions(
    groups: Iterable[Group], listeners: Sequence[Listener], wall_minus_clock: float
) -> list[SessionView]:
    """Those that clients have now."""
    shown_by = await _certificates(listeners)
    found = []
    for group in groups:
        for number, session in enumerate(tuple(group.sessions.all)):
            if number % _SLICE == 0:
                await trio.lowlevel.checkpoint()
            if session.over:
                continue
            peer = shown_by.get(session)
            lanes = Counter({lane.device.name: len(lane.upstreams) for lane in session.lanes.values()})
            found.append(
                SessionView(
                    group.name,
                    peer.common_name if peer is not None else None,
                    peer.fingerprint if peer is not None else None,
                    session.clients,
                    dict(lanes),
                    len(session.queue) + sum(len(lane.bound) for lane in session.lanes.values()),
                    session.began + wall_minus_clock,
                )
            )
    return found


async def _certificates(listeners: Sequence[Listener]) -> dict[Session, Peer]:
    """Whose session each is, as the certificates of its clients say."""
    found: dict[Session, Peer] = {}
    for listener in listeners:
        for number, client in enumerate(tuple(listener.clients)):
            if number % _SLICE == 0:
                await trio.lowlevel.checkpoint()
            owner = client.route.owner
            if isinstance(owner, Session) and client.peer is not None:
                found[owner] = client.peer
    return found
