"""How clients spread over workers that accept from one socket: who has more than the others waits a moment. Pure.

The kernel wakes all who wait for a socket, and who is quickest takes what there is; without this, that is always the
same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_SLACK: Final = 0.05  # of the mean: so much more than it is not clearly more; of few, one is
_PAUSE: Final = 0.005  # seconds: others are awake well before; a client does not notice


def pause(ours: int, others: Sequence[int]) -> float:
    """Seconds to wait before accepting, so that who has fewer clients can take them."""
    return _PAUSE if ours > _bound(ours, others) else 0.0


def share(ours: int, others: Sequence[int]) -> int:
    """How many to accept at once: as many as bring us clearly above the mean, and at least one."""
    if not others:
        return 1_000_000
    return max(1, int(_bound(ours, others) - ours) + 1)


def _bound(ours: int, others: Sequence[int]) -> float:
    mean = (ours + sum(others)) / (1 + len(others))
    return mean * (1.0 + _SLACK)
