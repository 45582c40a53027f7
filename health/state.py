"""What is believed of a device's health, and what changes the belief: a total table."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class Health(enum.Enum):
    UNKNOWN = "unknown"  # no verdict yet; never picked
    UP = "up"
    DOWN = "down"  # pings fail, or it cannot be connected
    EJECTED = "ejected"  # its requests failed; sits out until its ejection ends
    PROBATION = "probation"  # one real request at a time, until one is answered
    UNSAFE = "unsafe"  # wrong identity, firmware or keys; never picked


class Signal(enum.Enum):
    ROSE = "rose"  # enough good pings in a row
    FELL = "fell"  # enough failed pings in a row, or nobody listens there
    MISBEHAVED = "misbehaved"  # enough real requests failed
    EXPIRED = "expired"  # the ejection's time is over
    PROVED = "proved"  # a real request was answered
    DISTRUSTED = "distrusted"  # it is not the device it should be
    CLEARED = "cleared"  # it is again shown to be the device it should be
    FORGOTTEN = "forgotten"  # nobody looked at it for a while (maintenance): what was believed is void


class Danger(enum.Enum):
    """Why a device is unsafe; each is lifted by itself, and only without any is the device let out. Worst first."""

    STRANGER = "stranger"  # its certificate is not its own
    BEHIND = "behind"  # its key table lacks a write
    UNLIKE = "unlike"  # other model, firmware, features, keys or serial number than it must have


_UNKNOWN, _UP, _DOWN = Health.UNKNOWN, Health.UP, Health.DOWN
_EJECTED, _PROBATION, _UNSAFE = Health.EJECTED, Health.PROBATION, Health.UNSAFE

# Every pair is listed, also those that change nothing; a test checks that it is total.
TRANSITIONS: Final[Mapping[Health, Mapping[Signal, Health]]] = {
    _UNKNOWN: {
        Signal.ROSE: _UP,
        Signal.FELL: _DOWN,
        Signal.MISBEHAVED: _UNKNOWN,
        Signal.EXPIRED: _UNKNOWN,
        Signal.PROVED: _UNKNOWN,
        Signal.DISTRUSTED: _UNSAFE,
        Signal.CLEARED: _UNKNOWN,
        Signal.FORGOTTEN: _UNKNOWN,
    },
    _UP: {
        Signal.ROSE: _UP,
        Signal.FELL: _DOWN,
        Signal.MISBEHAVED: _EJECTED,
        Signal.EXPIRED: _UP,
        Signal.PROVED: _UP,
        Signal.DISTRUSTED: _UNSAFE,
        Signal.CLEARED: _UP,
        Signal.FORGOTTEN: _UNKNOWN,
    },
    # A good ping alone never brings a device back among the trusted: its real traffic may still fail.
    _DOWN: {
        Signal.ROSE: _PROBATION,
        Signal.FELL: _DOWN,
        Signal.MISBEHAVED: _DOWN,
        Signal.EXPIRED: _DOWN,
        Signal.PROVED: _DOWN,
        Signal.DISTRUSTED: _UNSAFE,
        Signal.CLEARED: _DOWN,
        Signal.FORGOTTEN: _UNKNOWN,
    },
    _EJECTED: {
        Signal.ROSE: _EJECTED,
        Signal.FELL: _DOWN,
        Signal.MISBEHAVED: _EJECTED,
        Signal.EXPIRED: _PROBATION,
        Signal.PROVED: _EJECTED,
        Signal.DISTRUSTED: _UNSAFE,
        Signal.CLEARED: _EJECTED,
        Signal.FORGOTTEN: _UNKNOWN,
    },
    _PROBATION: {
        Signal.ROSE: _PROBATION,
        Signal.FELL: _DOWN,
        Signal.MISBEHAVED: _EJECTED,
        Signal.EXPIRED: _PROBATION,
        Signal.PROVED: _UP,
        Signal.DISTRUSTED: _UNSAFE,
        Signal.CLEARED: _PROBATION,
        Signal.FORGOTTEN: _UNKNOWN,
    },
    _UNSAFE: {
        Signal.ROSE: _UNSAFE,
        Signal.FELL: _UNSAFE,
        Signal.MISBEHAVED: _UNSAFE,
        Signal.EXPIRED: _UNSAFE,
        Signal.PROVED: _UNSAFE,
        Signal.DISTRUSTED: _UNSAFE,
        Signal.CLEARED: _UNKNOWN,
        Signal.FORGOTTEN: _UNSAFE,
    },
}
