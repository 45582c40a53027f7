"""The slots of a device's key table."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import attrs

from .key import Key


class NoRoom(Exception):  # noqa: N818 (says what happened)
    """Every slot is taken."""


@attrs.frozen(eq=False)
class Slot:
    """A key, a certificate or both, under a label."""

    key: Key | None = None
    label: str = ""
    certificate: bytes | None = None  # DER


class KeyTable:
    """Slots counted from 0. Every device has its own table; nothing replicates it here.

    The same requests in the same order make the same table: where no slot is named, the lowest free one is taken.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.version = 0  # rises with every change
        self._slots: dict[int, Slot] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, number: int) -> bool:
        return number in self._slots

    def __getitem__(self, number: int) -> Slot:
        """Raises KeyError for an empty slot."""
        return self._slots[number]

    def __iter__(self) -> Iterator[int]:
        """The filled slots, rising."""
        return iter(sorted(self._slots))

    def put(self, slot: Slot, number: int | None = None) -> int:
        """Into slot `number`, over whatever is there, or into the first free one. Gives the number. Raises NoRoom."""
        if number is None:
            number = next((free for free in range(self.size) if free not in self._slots), None)
        if number is None or not 0 <= number < self.size:
            raise NoRoom
        self._slots[number] = slot
        self.version += 1
        return number

    def delete(self, number: int) -> None:
        """Raises KeyError for an empty slot."""
        del self._slots[number]
        self.version += 1

    def copy(self) -> KeyTable:
        """The table as it is now; later changes of either leave the other alone."""
        made = KeyTable(self.size)
        made.version, made._slots = self.version, dict(self._slots)
        return made

    def labelled(self, label: str) -> Slot | None:
        """The first slot of that label."""
        return next((self._slots[number] for number in self if self._slots[number].label == label), None)

    def bitmap(self) -> bytes:
        """One bit per slot, the first slot in the highest bit of the first byte."""
        bits = bytearray((self.size + 7) // 8)
        for number in self._slots:
            bits[number // 8] |= 0x80 >> number % 8
        return bytes(bits)

    def digest(self) -> str:
        """Sixteen hex digits that two tables share when all slots have the same keys, usages, labels, certificates."""
        digest = sha256(b"%d" % self.size)
        for number in self:
            slot = self._slots[number]
            key = slot.key
            about = (key.kind, key.usage, key.modifier, key.material.hex()) if key else ()
            digest.update(repr((number, about, slot.label, slot.certificate)).encode())
        return digest.hexdigest()[:16].upper()
