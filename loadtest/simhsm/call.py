"""One request as a function sees it: its fields with their meaning checked, its session, and the device's inside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

from .key import ANY_USE, Key, KeyKind, Usage
from .keytable import NoRoom, Slot
from .message import Message
from .refusal import empty_slot, invalid, invalid_token, missing, table_full, usage, wrong_key
from .session import Session

if TYPE_CHECKING:
    from .hsm import Hsm

_SLOT: Final = re.compile(r"BD([0-9]{1,4})")


@attrs.frozen(eq=False)
class Call:
    """Every reader raises Refused, which names the tag at fault."""

    message: Message
    session: Session
    hsm: Hsm
    now: float

    def has(self, tag: str) -> bool:
        return tag in self.message.fields

    def text(self, tag: str, default: str | None = None) -> str:
        value = self.message.fields.get(tag, default)
        if value is None:
            raise missing(tag)
        return value

    def choice(self, tag: str, allowed: str, default: str | None = None) -> str:
        """One of the letters of `allowed`."""
        value = self.text(tag, default)
        if len(value) != 1 or value not in allowed:
            raise invalid(tag)
        return value

    def number(self, tag: str, default: int | None = None, *, low: int = 0, high: int = 65_535, base: int = 10) -> int:
        value = self.message.fields.get(tag)
        if value is None and default is not None:
            return default
        try:
            number = int(self.text(tag), base)
        except ValueError:
            raise invalid(tag) from None
        if not low <= number <= high:
            raise invalid(tag, "OUT OF RANGE")
        return number

    def octets(self, tag: str, default: bytes | None = None) -> bytes:
        """The bytes of a hex field."""
        value = self.message.fields.get(tag)
        if value is None and default is not None:
            return default
        try:
            return bytes.fromhex(self.text(tag))
        except ValueError:
            raise invalid(tag, "NOT HEX") from None

    def key(self, tag: str, use: Usage = ANY_USE, kinds: frozenset[KeyKind] | None = None) -> Key:
        """The key that the field names: a cryptogram under the major key, or ``BD<slot>``."""
        reference = self.text(tag)
        if found := _SLOT.fullmatch(reference):
            key = self._in_slot(tag, int(found[1]))
        else:
            try:
                key = self.hsm.major_key.unwrap(reference)
            except ValueError:
                raise invalid_token(tag) from None
        if kinds is not None and key.kind not in kinds:
            raise wrong_key(tag)
        if use and not key.allows(use):
            raise usage(tag)
        return key

    def slot(self, tag: str = "BD") -> int:
        return self.number(tag, high=self.hsm.table.size - 1)

    def filled_slot(self, tag: str = "BD") -> tuple[int, Slot]:
        number = self.slot(tag)
        try:
            return number, self.hsm.table[number]
        except KeyError:
            raise empty_slot(tag) from None

    def usage(self, tag: str = "LU") -> Usage:
        """What a new key may do: a sum of `Usage` bits in hex; without the field, everything."""
        return Usage(self.number(tag, 0, high=0xFF, base=16))

    def store(self, key: Key, tag: str = "BD") -> dict[str, str]:
        """The answer's field for a key put into slot `tag`, or nothing where the request named no slot."""
        if not self.has(tag):
            return {}
        label = self.text("LA", "")
        return {tag: str(self.hsm.table.put(Slot(key, label), self.slot(tag)))}

    def store_anywhere(self, slot: Slot, tag: str = "BD") -> int:
        """Put into slot `tag`, or into the first free one."""
        try:
            return self.hsm.table.put(slot, self.slot(tag) if self.has(tag) else None)
        except NoRoom:
            raise table_full(tag) from None

    def _in_slot(self, tag: str, number: int) -> Key:
        try:
            key = self.hsm.table[number].key
        except KeyError:
            raise empty_slot(tag) from None
        if key is None:
            raise wrong_key(tag)
        return key
