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
    mode: WritesMode | None = None  # by default as `Group.writes_mode` says
    quorum: Annotated[
        str, Meta(pattern=r"^(all|majority|[1-9][0-9]{0,3})$", description="all, majority, or a number of devices")
    ] = "all"
    nondeterministic: Nondeterministic = Nondeterministic.STALE
    primary_loss: PrimaryLoss = PrimaryLoss.REFUSE
    varying: tuple[Code, ...] = ("TIME",)  # answers of two devices may differ, and both have done the same
    slot_fields: tuple[Tag, ...] = ("BD",)  # name a slot of the key table, in a request or an answer
    key_fields: tuple[Tag, ...] = ("RC", "BG")  # of an answer: carry a new key itself
    journal: Path | None = None  # where intents are written down before a write leaves
