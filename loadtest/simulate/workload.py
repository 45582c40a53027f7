"""What clients ask for, and how long a healthy device takes for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Final

import attrs


@attrs.frozen(kw_only=True)
class Kind:
    """One command of the mix. ``seconds``: that a healthy device takes on average."""

    code: bytes
    seconds: float
    share: float

    @property
    def request(self) -> bytes:
        return b"[AO%b;]" % self.code

    @property
    def answer(self) -> bytes:
        return b"[AO%b;BBY;]" % self.code


# A payment host: mostly PIN translations, some MACs, and a few signatures that take as long as the rest together.
PAYMENTS: Final = (
    Kind(code=b"TPIN", seconds=0.003, share=0.7),
    Kind(code=b"HMAC", seconds=0.0015, share=0.2),
    Kind(code=b"RSAS", seconds=0.015, share=0.1),
)
ALIKE: Final = (Kind(code=b"RAND", seconds=0.004, share=1.0),)
PING: Final = Kind(code=b"ECHO", seconds=0.0002, share=0.0)
VARIATION: Final = 0.5  # standard deviation of a command's service time over its mean


def mean_seconds(mix: Sequence[Kind]) -> float:
    """What a request of the mix takes on average."""
    return sum(kind.seconds * kind.share for kind in mix) / sum(kind.share for kind in mix)


class Draws:
    """Which command comes next."""

    def __init__(self, mix: Sequence[Kind], random: Random) -> None:
        self._mix = list(mix)
        self._upto = list(accumulate(kind.share for kind in mix))
        self._random = random

    def next(self) -> Kind:
        if len(self._mix) == 1:
            return self._mix[0]
        return self._random.choices(self._mix, cum_weights=self._upto)[0]


class ServiceTimes:
    """Log-normal around the mean of a command: never below zero, with a tail to the right."""

    def __init__(self, random: Random, variation: float = VARIATION) -> None:
        """``variation``: standard deviation over mean; 0 is constant."""
        self._sigma = math.sqrt(math.log(1.0 + variation * variation))
        self._mu = -self._sigma * self._sigma / 2.0
        self._random = random

    def draw(self, mean: float) -> float:
        """Seconds."""
        if not self._sigma:
            return mean
        return mean * math.exp(self._mu + self._sigma * self._random.gauss(0.0, 1.0))
