"""Logins that were refused, counted over all workers: an account sees no more tries than from one process.

They stand in the shared memory of the board, under its lock: logins are rare, and to share the allowance out would
give a worker less than one try where there are many of them.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .board import Board

ENTRIES: Final = 4096  # identities; where their times do not matter any more, or of the quietest, others take the place
_WAYS: Final = 8  # entries among which an identity may stand
_KEY: Final = 16  # bytes
_WORKERS: Final = 64  # bytes: for each the number of its tries that are not answered yet
_TIMES: Final = 32  # seconds, monotonic, at which one was refused; 0: none
_TIMES_FORM: Final = struct.Struct(f"@{_TIMES}d")
ENTRY: Final = _KEY + _WORKERS + _TIMES_FORM.size
_MOST_OPEN: Final = 255


class SharedTries:
    """What `balancer.login.LoginTries` is for one process, for all of them. Where the lock cannot be had, none goes."""

    def __init__(self, board: Board, number: int, group: str) -> None:
        self._board = board
        self._open = _KEY + number - 1
        self._group = group
        self._owed: list[tuple[bytes, float, bool, bool]] = []  # ends that could not be noted yet

    def begin(self, identity: Hashable, most: int, window: float, now: float) -> bool | None:
        """Whether one more may reach a device now; None: not before one that is under way is answered.

        At most 32 within the window, whatever the settings say.
        """
        most = min(most, _TIMES)
        with suppress(OSError), self._board.locked():
            self._settle()
            mapped = self._board.map
            at = self._entry(self._key(identity))
            if at is None:
                return None
            refused = sum(
                1 for time in _TIMES_FORM.unpack_from(mapped, at + _KEY + _WORKERS) if _counts(time, window, now)
            )
            if refused >= most:
                return False
            under_way = sum(mapped[at + _KEY : at + _KEY + _WORKERS])
            if refused + under_way >= most or mapped[at + self._open] == _MOST_OPEN:
                return None
            mapped[at + self._open] += 1
            return True
        return None

    def end(self, identity: Hashable, now: float, *, good: bool) -> None:
        """One that was begun is answered, or nobody will ever know how: that counts as refused."""
        self._note(self._key(identity), now, begun=True, good=good)

    def refused(self, identity: Hashable, now: float) -> None:
        """A device said no."""
        self._note(self._key(identity), now, begun=False, good=False)

    def _note(self, key: bytes, now: float, *, begun: bool, good: bool) -> None:
        self._owed.append((key, now, begun, good))
        with suppress(OSError), self._board.locked():
            self._settle()

    def _settle(self) -> None:
        mapped = self._board.map
        for key, now, begun, good in self._owed:
            at = self._entry(key)
            if at is None:
                continue
            if begun and mapped[at + self._open]:
                mapped[at + self._open] -= 1
            if not good:
                _refuse(self._board, at, now)
        self._owed.clear()

    def _key(self, identity: Hashable) -> bytes:
        return blake2b(f"{self._group}/{identity!r}".encode(), digest_size=_KEY).digest()

    def _entry(self, key: bytes) -> int | None:
        """Where that identity stands, or may; None where all places are taken by tries that are under way."""
        mapped = self._board.map
        first = int.from_bytes(key[:4], "big") % (ENTRIES // _WAYS) * _WAYS
        places = [self._board.tries + entry * ENTRY for entry in range(first, first + _WAYS)]
        for at in places:
            if mapped[at : at + _KEY] == key:
                return at
        free = [at for at in places if not any(mapped[at + _KEY : at + _KEY + _WORKERS])]
        if not free:
            return None
        at = min(free, key=lambda at: max(_TIMES_FORM.unpack_from(mapped, at + _KEY + _WORKERS)))
        mapped[at : at + ENTRY] = key + bytes(ENTRY - _KEY)
        return at


def forget_worker(board: Board, number: int, now: float) -> None:
    """That worker is dead, and nobody will know what became of its tries: they count as refused. Under the lock."""
    for at in range(board.tries, board.tries + ENTRIES * ENTRY, ENTRY):
        for _ in range(board.map[at + _KEY + number - 1]):
            _refuse(board, at, now)
        board.map[at + _KEY + number - 1] = 0


def _refuse(board: Board, at: int, now: float) -> None:
    times = list(_TIMES_FORM.unpack_from(board.map, at + _KEY + _WORKERS))
    times[times.index(min(times))] = now
    _TIMES_FORM.pack_into(board.map, at + _KEY + _WORKERS, *times)


def _counts(time: float, window: float, now: float) -> bool:
    return time > 0.0 and time > now - window
