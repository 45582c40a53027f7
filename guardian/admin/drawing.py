"""Frames as JSON, one after the other, in whatever process: one of our own does nothing else."""

from __future__ import annotations

from typing import Final

import attrs
import msgspec

from balancer.snapshot import ProxySnapshot
from guardian.answering import answer
from guardian.events import Event
from guardian.packing import encode, packed_snapshot, unpacked_snapshot

from .frame import About, FrameMaker

MODULE: Final = "guardian.admin.drawing"


@attrs.frozen(kw_only=True)
class Sight:
    """What a frame is made of."""

    about: About
    before: int  # number of the frame before it
    anew: bool  # what was seen before is forgotten, so the frame has no change
    whole: bool  # somebody needs all of it
    at: float  # seconds, monotonic
    wall: float  # Unix time
    snapshot: ProxySnapshot
    events: tuple[Event, ...]  # the last ones, oldest first
    fresh: int  # those after this number were in no frame yet


@attrs.frozen(kw_only=True)
class Drawn:
    """JSON of the frame after `before`."""

    change: str | None  # None where the frame begins anew
    whole: str | None  # None unless it was wanted, or the frame begins anew


class Drawer:
    """Remembers what it has seen."""

    def __init__(self) -> None:
        self._maker: FrameMaker | None = None

    def draw(self, sight: Sight) -> Drawn:
        maker = self._maker
        anew = maker is None or sight.anew or maker.number != sight.before
        if maker is None or anew:
            maker = self._maker = FrameMaker(sight.about, sight.before)
        frame = maker.make(sight.at, sight.wall, sight.snapshot, sight.events, sight.fresh)
        return Drawn(
            change=None if anew else _json(frame.change), whole=_json(frame.full) if anew or sight.whole else None
        )


@attrs.frozen
class _Packed:
    sight: Sight  # without its snapshot's groups
    snapshot: bytes


_read_packed = msgspec.msgpack.Decoder(_Packed).decode
read_drawn = msgspec.msgpack.Decoder(Drawn).decode


def packed_sight(sight: Sight) -> bytes:
    """For a thread; it rests between pieces."""
    bare = attrs.evolve(sight, snapshot=attrs.evolve(sight.snapshot, groups=()))
    return encode(_Packed(bare, packed_snapshot(sight.snapshot, unhurried=True)))


def unpacked_sight(data: bytes) -> Sight:
    read = _read_packed(data)
    return attrs.evolve(read.sight, snapshot=unpacked_snapshot(read.snapshot))


def _json(values: object) -> str:
    return msgspec.json.encode(values).decode()


def main() -> None:
    drawer = Drawer()
    answer(lambda question: encode(drawer.draw(unpacked_sight(question))))
