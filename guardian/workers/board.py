"""What workers tell each other through shared memory: how much each has outstanding on which device.

One memory file, mapped by all. Every number in it has one writer, the worker of that row, so that nothing is locked on
the way of a request; it is written when a batch of the reactor is done, and read before the next. Which slot a device
has is written by all, under a lock of the kernel, when devices come and go; so are refused logins (`tries`).
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import time
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import attrs
import structlog

from .tries import ENTRIES, ENTRY, forget_worker

if TYPE_CHECKING:
    from balancer.device import Device

SLOTS: Final = 1024  # devices of all groups, those that a reload has taken out and that still have something included
_KEY: Final = 16  # bytes: a digest of what a device is called and where it is
_WORD: Final = 8  # a number in native form and aligned, which the processor writes whole
_HEAD: Final = 4  # numbers: magic, workers, and two that are not used
_MAGIC: Final = 1.0
_ROW_HEAD: Final = 2  # numbers: heartbeat, connections
_PER_SLOT: Final = 3  # numbers: outstanding, work, pins
_ALONE: Final = "what other workers have outstanding on a device is not counted"
_STALE: Final = 1.0  # seconds without a heartbeat, after which a worker is not expected to accept anybody
_A_WORKERS_PART: Final = 20e-6  # seconds: 20 times as long as it takes to look at one worker with four devices
_LOCK: Final = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, process
_TRIES: Final = 200
_A_TRY: Final = 0.0005  # seconds


@attrs.frozen
class WorkerRow:
    """``beat``: when it last said that it is alive, seconds, monotonic; 0 where there is no such worker.

    ``connections``: of its clients; None where it accepts nobody.
    """

    number: int
    beat: float
    connections: int | None


def make_board(workers: int) -> int:
    """A new one for workers 1 to ``workers``; the descriptor is to be handed to each. Raises OSError."""
    descriptor = os.memfd_create("guardian-board")
    try:
        os.ftruncate(descriptor, _size(workers))
        os.pwrite(descriptor, struct.pack("@2d", _MAGIC, float(workers)), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class Board:
    """The mapped file. The supervisor clears it after a worker; a worker writes its row through a `Place`."""

    def __init__(self, descriptor: int) -> None:
        """Takes over the descriptor, which is not handed to children by accident. Raises OSError."""
        os.set_inheritable(descriptor, False)
        self.descriptor = descriptor
        magic, workers = struct.unpack("@2d", os.pread(descriptor, 2 * _WORD, 0))
        if magic != _MAGIC or os.fstat(descriptor).st_size != _size(int(workers)):
            raise OSError(errno.EINVAL, "what was handed over is no board")
        self.count = int(workers)
        self.map = mmap.mmap(descriptor, _size(self.count))
        self.tries = _size(self.count) - ENTRIES * ENTRY  # where those of logins begin
        # Locks belong to an opening of the file, and what is inherited is one opening for all.
        self._lock = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        self.map.close()
        os.close(self._lock)
        os.close(self.descriptor)

    def locked(self) -> _Locked:
        """Around what all may write. Raises OSError when it is entered and cannot be had."""
        return _Locked(self._lock)

    def workers(self) -> list[WorkerRow]:
        """All of them, those that were never started too."""
        rows = []
        for number in range(1, self.count + 1):
            beat, connections = struct.unpack_from("@2d", self.map, self.row(number))
            rows.append(WorkerRow(number, beat, int(connections) if connections >= 0 else None))
        return rows

    def clear(self, number: int) -> None:
        """That worker is dead: nothing is outstanding there any more, and its slots are free."""
        with self.locked():
            row = self.row(number)
            self.map[row : row + _row_size()] = bytes(_row_size())
            claims = self._claims(number)
            self.map[claims : claims + SLOTS] = bytes(SLOTS)
            forget_worker(self, number, time.monotonic())

    def claim(self, number: int, key: bytes) -> int | None:
        """The slot of a device, the same for all workers that have it; None where none is left. Raises OSError."""
        with self.locked():
            taken = self._taken()
            slot = next((slot for slot in range(SLOTS) if taken[slot] and self._key(slot) == key), None)
            if slot is None:
                slot = taken.find(0)
                if slot < 0:
                    return None
                at = self._keys + slot * _KEY
                self.map[at : at + _KEY] = key
            self.map[self._claims(number) + slot] = 1
            return slot

    def release(self, number: int, slot: int) -> None:
        """Nothing of that worker is outstanding there any more. Raises OSError."""
        with self.locked():
            at = self.slot(number, slot)
            self.map[at : at + _PER_SLOT * _WORD] = bytes(_PER_SLOT * _WORD)
            self.map[self._claims(number) + slot] = 0

    def row(self, number: int) -> int:
        """Where that worker's numbers begin."""
        return _HEAD * _WORD + (number - 1) * _row_size()

    def slot(self, number: int, slot: int) -> int:
        return self.row(number) + (_ROW_HEAD + slot * _PER_SLOT) * _WORD

    def _taken(self) -> bytes:
        """For each slot whether any worker has it."""
        taken = 0
        for number in range(1, self.count + 1):
            claims = self._claims(number)
            taken |= int.from_bytes(self.map[claims : claims + SLOTS], "big")
        return taken.to_bytes(SLOTS, "big")

    @property
    def _keys(self) -> int:
        return self.row(self.count + 1)

    def _key(self, slot: int) -> bytes:
        at = self._keys + slot * _KEY
        return self.map[at : at + _KEY]

    def _claims(self, number: int) -> int:
        return self._keys + SLOTS * _KEY + (number - 1) * SLOTS


class Place:
    """One worker's row: what it has outstanding, and what it sees of the others.

    `look` before anything is picked, `publish` when everything was sent: what others have on a device then counts in
    its `work` and `elsewhere` as if it were our own.
    """

    def __init__(self, board: Board, number: int) -> None:
        self.board = board
        self.number = number
        self._placed: list[tuple[int, Device]] = []  # the first of its numbers in a row of them, and the device
        self._slots: dict[Device, int] = {}
        self._said: list[float] = []
        self._every = board.count * _A_WORKERS_PART  # seconds between looks
        self._look_at = 0.0
        self._width = 0  # numbers of a row that are in use, as far as we know
        self._write = struct.Struct("@")
        self._at = board.row(number) + _ROW_HEAD * _WORD
        self._others = [board.row(other) + _ROW_HEAD * _WORD for other in range(1, board.count + 1) if other != number]
        self._log = structlog.get_logger()

    # --- devices -------------------------------------------------------------------------------------------------

    def enlist(self, group: str, device: Device) -> None:
        """A device has come. It keeps its slot until `release`, whatever a reload makes of the others."""
        key = blake2b(f"{group}/{device.name}@{device.settings.address}".encode(), digest_size=_KEY).digest()
        try:
            slot = self.board.claim(self.number, key)
        except OSError as exc:
            self._log.error(_ALONE, device=device.name, reason=exc.strerror)
            return
        if slot is None:
            self._log.error(_ALONE, device=device.name, reason="the board is full")
            return
        self._slots[device] = slot
        self._arrange()

    def release(self, device: Device) -> None:
        """It is gone, with all that was outstanding there."""
        slot = self._slots.pop(device, None)
        if slot is None:
            return
        self._arrange()
        if slot not in self._slots.values():  # a device that was taken out and put back is there twice for a while
            with suppress(OSError):  # it is then free when this worker ends
                self.board.release(self.number, slot)

    def _arrange(self) -> None:
        self._placed = [(slot * _PER_SLOT, device) for device, slot in self._slots.items()]
        self._width = _PER_SLOT * (1 + max(self._slots.values(), default=-1))
        self._write = struct.Struct(f"@{self._width}d")
        self._said = []
        self.publish()

    # --- of each batch -------------------------------------------------------------------------------------------

    def look(self) -> None:
        """See what the others have outstanding."""
        unpack, mapped = self._write.unpack_from, self.board.map
        if len(self._others) == 1:
            seen = unpack(mapped, self._others[0])
        else:
            seen = tuple(map(sum, zip(*[unpack(mapped, at) for at in self._others], strict=True)))
        if not seen:
            return
        for at, device in self._placed:
            device.elsewhere = int(seen[at])
            device.pins_elsewhere = int(seen[at + 2])
            work = seen[at + 1]
            if work != device.work_elsewhere:
                device.work += work - device.work_elsewhere
                device.work_elsewhere = work

    def glance(self) -> None:
        """`look`, unless that was just now: with many workers a look costs more than a small batch."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + self._every
            self.look()

    def publish(self) -> None:
        """Let the others see what we have outstanding."""
        saying = [0.0] * self._width
        for at, device in self._placed:
            saying[at] += device.outstanding
            saying[at + 1] += device.work - device.work_elsewhere
            saying[at + 2] += len(device.pins)
        if saying != self._said:
            self._said = saying
            self._write.pack_into(self.board.map, self._at, *saying)

    # --- of the worker -------------------------------------------------------------------------------------------

    def beat(self, now: float, connections: int | None) -> None:
        """We are alive, and have so many clients; None: we accept nobody, so that nobody need wait until we do."""
        said = -1.0 if connections is None else float(connections)
        struct.pack_into("@2d", self.board.map, self.board.row(self.number), now, said)

    def connections_elsewhere(self, now: float) -> list[int]:
        """Of each other worker that accepts clients."""
        return [
            row.connections
            for row in self.board.workers()
            if row.number != self.number and row.connections is not None and now - row.beat < _STALE
        ]


class _Locked:
    """Nobody else claims or frees a slot meanwhile. The kernel takes the lock from a process that dies."""

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor

    def __enter__(self) -> None:
        """Raises OSError where somebody has had it for long: it is needed for microseconds, so he was stopped."""
        for _ in range(_TRIES):
            try:
                fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, struct.pack(_LOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))
            except (BlockingIOError, PermissionError):
                time.sleep(_A_TRY)
            else:
                return
        raise OSError(errno.EWOULDBLOCK, "the workers' board is locked by a process that does not go on")

    def __exit__(self, *_: object) -> None:
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, struct.pack(_LOCK, fcntl.F_UNLCK, os.SEEK_SET, 0, 1, 0))


def _row_size() -> int:
    return (_ROW_HEAD + SLOTS * _PER_SLOT) * _WORD


def _size(workers: int) -> int:
    return _HEAD * _WORD + workers * _row_size() + SLOTS * _KEY + workers * SLOTS + ENTRIES * ENTRY
