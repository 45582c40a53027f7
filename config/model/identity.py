"""How the devices of a group are shown to be alike."""

from __future__ import annotations

import enum
from typing import Final, Literal

import attrs

from .values import Seconds, Tag


class LikenessAction(enum.Enum):
    """What becomes of a device that is not like its primary."""

    OBSERVE = "observe"  # it serves; it is told and shown
    ENFORCE = "enforce"  # it is unsafe, and serves nothing before it was shown alike


@attrs.frozen(kw_only=True)
class Probe:
    """A request that every device of a group must answer alike."""

    request: str
    """one message whose command changes nothing"""
    compare: Literal["body"] | tuple[Tag, ...] = "body"
    """the whole answer but its `AG` field, or the fields with these tags"""
    key_table: bool | None = None
    """whether the answer shows the key table; by default where the command is GPKM"""

    @property
    def shows_key_table(self) -> bool:
        return self.request[3:7] == "GPKM" if self.key_table is None else self.key_table


# What is asked in a group of HSMs where the file says nothing: both are open before login and change nothing.
DEFAULT_PROBES: Final = (Probe(request="[AOECHO;]"), Probe(request="[AOGPKM;]"))


@attrs.frozen(kw_only=True)
class SerialPin:
    """Where a device says its serial number; each device's own is its ``serial``."""

    serial: Tag
    """the tag of the field that holds the serial number"""
    request: str = "[AOHASH;]"
    """what is answered with the serial number"""


@attrs.frozen(kw_only=True)
class Identity:
    """How the devices of a group are shown to be alike."""

    probes: tuple[Probe, ...] | None = None
    """requests that every device must answer alike"""
    interval: Seconds = 60.0
    """from one check of a device to the next"""
    timeout: Seconds = 5.0
    """for the answer to one probe; at most `interval`"""
    action: LikenessAction = LikenessAction.OBSERVE
    """tell and show what differs; or let the device serve only while it is alike"""
    pin: SerialPin | None = None
    """serial numbers are compared with each device's `serial`"""
