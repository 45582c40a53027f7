"""What happens to commands that change a device."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import attrs
from msgspec import Meta

from .values import Code, Tag


class WritesMode(enum.Enum):
    """Where a command that changes a device goes."""

    REPLICATE = "replicate"  # to the primary first, then to every other device in sync
    PRIMARY = "primary"  # to the primary alone; the others get it by the operator's own means
    BALANCE = "balance"  # to any one device, never twice; devices share by themselves what they keep
    REJECT = "reject"  # nowhere


class Nondeterministic(enum.Enum):
    """What becomes of a write that two devices would answer differently: it runs on one device only."""

    STALE = "stale"  # on the primary; the others are behind, unless the answer carries the key and no slot is named
    PRIMARY = "primary"  # on the primary; nobody is behind
    REJECT = "reject"  # nowhere


class PrimaryLoss(enum.Enum):
    PROMOTE = "promote"  # a production device in sync takes the primary's place for writes
    REFUSE = "refuse"  # writes are refused until the primary is back


@attrs.frozen(kw_only=True)
class Writes:
    mode: WritesMode | None = None
    """to the primary and then to every other device in sync; to the primary alone; to any one device, never twice;
    nowhere (901). By default `replicate` for type `hsm`, `balance` for `kms`
    """
    quorum: Annotated[
        str, Meta(pattern=r"^(all|majority|[1-9][0-9]{0,3})$", description="all, majority, or a number of devices")
    ] = "all"
    """how many devices have a write before the client hears of success: all that are in sync, so that whoever is lost
    on the way no longer counts; more than half of the group's devices; or so many
    """
    nondeterministic: Nondeterministic = Nondeterministic.STALE
    """a write that two devices answer differently (`deterministic: false`) runs on the primary alone: the others are
    behind; nobody is; or it is refused (901)
    """
    primary_loss: PrimaryLoss = PrimaryLoss.REFUSE
    """while the primary is lost, a production device in sync goes first; or writes get 902"""
    varying: tuple[Code, ...] = ("TIME",)
    """commands whose answers differ from device to device though each has done the same: only success is compared"""
    slot_fields: tuple[Tag, ...] = ("BD",)
    """fields of a request or an answer that name a slot of the key table"""
    key_fields: tuple[Tag, ...] = ("RC", "BG")
    """fields of an answer that carry a new key itself: with one of them and no slot, a new key leaves nobody behind"""
    journal: Path | None = None
    """where intents are written before a write leaves; without it a crash of Guardian leaves no trace of the writes in
    doubt, and `guardian check` warns
    """
