"""Find the device that fails what its peers can do. Pure.

A well-formed error answer is never a device's failure by itself: a client that sends nonsense gets errors everywhere.
But a device that answers errors where its peers do not is broken, and quick errors would draw all requests to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

_ENOUGH_ANSWERS: Final = 20  # of a device before it is judged
_ENOUGH_OF_PEERS: Final = 20


@attrs.frozen
class Tally:
    """What a device answered to requests that any of its peers could have got."""

    answered: int
    errors: int

    @property
    def enough(self) -> bool:
        """Whether a device can be judged by it."""
        return self.answered >= _ENOUGH_ANSWERS

    @property
    def rate(self) -> float:
        return self.errors / self.answered if self.answered else 0.0


def outliers(tallies: Mapping[str, Tally], limit: float) -> list[str]:
    """Names of devices whose error rate is above ``limit`` while that of their peers together is below half of it."""
    found = []
    for name, tally in tallies.items():
        if not tally.enough or tally.rate <= limit:
            continue
        peers = [other for peer, other in tallies.items() if peer != name]
        together = Tally(sum(peer.answered for peer in peers), sum(peer.errors for peer in peers))
        if together.answered >= _ENOUGH_OF_PEERS and together.rate < limit / 2:
            found.append(name)
    return found
