"""What can be wrong with a device, for one request or for as long as it lasts."""

from __future__ import annotations

import enum
from random import Random
from typing import Protocol, Self

import attrs


class FaultKind(enum.Enum):
    # Of the whole device, while the fault is set.
    REFUSE = "refuse"  # nobody listens; connections that are there go on
    HANG = "hang"  # accepts and reads, never finishes a handshake, never answers
    WRONG_CERTIFICATE = "wrong_certificate"  # new connections are shown a certificate of nobody
    # Of single requests.
    MUTE = "mute"  # handshakes and reads, never answers this request nor a later one of the connection
    RESET = "reset"  # RST instead of an answer
    CLOSE = "close"  # an orderly end instead of an answer
    CLOSE_HALF = "close_half"  # half an answer, then the end
    GARBAGE = "garbage"  # bytes that are no message instead of an answer
    REPEAT = "repeat"  # the answer, and after a delay the same answer again
    LATE = "late"  # the answer after a delay
    WRONG_ECHO = "wrong_echo"  # an answer with another AG, where the request had one
    WRONG_CODE = "wrong_code"  # an answer of another function
    ERROR = "error"  # ERRO at once, without work: a zombie


STANDING = frozenset({FaultKind.REFUSE, FaultKind.HANG, FaultKind.WRONG_CERTIFICATE})
UNTOUCHED = frozenset({FaultKind.HANG, FaultKind.MUTE, FaultKind.ERROR})  # the request is usually not worked on


class Faulty(Protocol):
    """Where a device asks what goes wrong next."""

    @property
    def standing(self) -> FaultKind | None:
        """The fault of the whole device, if it is one of `STANDING`."""

    def draw(self, code: str) -> Fault | None:
        """What happens to the next request. May be counted or random: call it once per request."""


@attrs.define(eq=False, kw_only=True)
class Fault:
    """One kind of fault, for every request or for some.

    `executed` says whether the device does the work before the fault strikes. `codes` limits it to some functions, and
    `times` to that many requests.
    """

    kind: FaultKind
    executed: bool = True
    delay: float = 0.0  # seconds; REPEAT and LATE
    codes: frozenset[str] | None = None
    times: int | None = None
    number: int = 900  # ERROR: its AM and BB
    text: str = "DEVICE FAILURE"

    @property
    def standing(self) -> FaultKind | None:
        return self.kind if self.kind in STANDING else None

    def draw(self, code: str) -> Fault | None:
        if self.codes is not None and code not in self.codes:
            return None
        if self.times is not None:
            if self.times <= 0:
                return None
            self.times -= 1
        return self

    @classmethod
    def refuse(cls) -> Self:
        return cls(kind=FaultKind.REFUSE)

    @classmethod
    def hang(cls) -> Self:
        return cls(kind=FaultKind.HANG, executed=False)

    @classmethod
    def wrong_certificate(cls) -> Self:
        return cls(kind=FaultKind.WRONG_CERTIFICATE)

    @classmethod
    def mute(cls, *codes: str, times: int | None = None, executed: bool = False) -> Self:
        return cls(kind=FaultKind.MUTE, codes=_set(codes), times=times, executed=executed)

    @classmethod
    def reset(cls, *codes: str, times: int | None = None, executed: bool = True) -> Self:
        return cls(kind=FaultKind.RESET, codes=_set(codes), times=times, executed=executed)

    @classmethod
    def close(cls, *codes: str, times: int | None = None, executed: bool = True) -> Self:
        return cls(kind=FaultKind.CLOSE, codes=_set(codes), times=times, executed=executed)

    @classmethod
    def close_half(cls, *codes: str, times: int | None = None) -> Self:
        return cls(kind=FaultKind.CLOSE_HALF, codes=_set(codes), times=times)

    @classmethod
    def garbage(cls, *codes: str, times: int | None = None) -> Self:
        return cls(kind=FaultKind.GARBAGE, codes=_set(codes), times=times)

    @classmethod
    def repeat(cls, *codes: str, times: int | None = None, delay: float = 0.001) -> Self:
        return cls(kind=FaultKind.REPEAT, codes=_set(codes), times=times, delay=delay)

    @classmethod
    def late(cls, *codes: str, times: int | None = None, delay: float = 1.0) -> Self:
        return cls(kind=FaultKind.LATE, codes=_set(codes), times=times, delay=delay)

    @classmethod
    def wrong_echo(cls, *codes: str, times: int | None = None) -> Self:
        return cls(kind=FaultKind.WRONG_ECHO, codes=_set(codes), times=times)

    @classmethod
    def wrong_code(cls, *codes: str, times: int | None = None) -> Self:
        return cls(kind=FaultKind.WRONG_CODE, codes=_set(codes), times=times)

    @classmethod
    def error(cls, *codes: str, times: int | None = None, number: int = 900, text: str = "DEVICE FAILURE") -> Self:
        return cls(kind=FaultKind.ERROR, codes=_set(codes), times=times, executed=False, number=number, text=text)


class FaultMix:
    """Faults at random: the share of requests that each kind strikes, such as ``FaultMix(reset=0.01, repeat=0.02)``.

    The same `seed` gives the same faults for the same order of requests. Kinds of the whole device cannot be mixed in:
    ValueError. `delay` (seconds) is that of LATE; REPEAT comes 1 ms late.
    """

    standing: FaultKind | None = None

    def __init__(self, *, seed: int = 0, delay: float = 0.05, **shares: float) -> None:
        self._random = Random(seed)
        self._ladder: list[tuple[float, Fault]] = []
        self._delay = delay
        for name, share in shares.items():
            self.add(FaultKind(name), share)

    def add(self, kind: FaultKind, share: float) -> None:
        if kind in STANDING:
            raise ValueError(f"{kind.value} strikes the whole device and cannot be mixed in")
        total = share + (self._ladder[-1][0] if self._ladder else 0.0)
        if total > 1 + 1e-9:
            raise ValueError(f"the shares add up to {total:g}, which is more than all requests")
        wait = {FaultKind.LATE: self._delay, FaultKind.REPEAT: 0.001}.get(kind, 0.0)
        self._ladder.append((total, Fault(kind=kind, delay=wait, executed=kind not in UNTOUCHED)))

    def draw(self, code: str) -> Fault | None:
        point = self._random.random()
        return next((fault.draw(code) for bound, fault in self._ladder if point < bound), None)


def _set(codes: tuple[str, ...]) -> frozenset[str] | None:
    return frozenset(codes) if codes else None
