"""The major key (FTK): what all devices of a group share, and what cryptograms are made under."""

from __future__ import annotations

import struct
from functools import lru_cache
from hashlib import sha512
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from .key import Key, KeyKind, Usage

_HEADER: Final = struct.Struct(">BBHH")  # version, kind, usage, modifier
_VERSION: Final = 1


class MajorKey:
    """Wraps keys into cryptograms and back, with AES-SIV: two devices give the same cryptogram for the same key.

    The form of a cryptogram is invented; a real device's is not public.
    """

    def __init__(self, seed: str) -> None:
        self._cipher = AESSIV(sha512(b"major key " + seed.encode()).digest())
        self.check_value = sha512(b"check value " + seed.encode()).hexdigest()[:6].upper()
        self._open = lru_cache(maxsize=1024)(self._decrypt)

    def wrap(self, key: Key) -> str:
        """The cryptogram, in upper-case hex."""
        header = _HEADER.pack(_VERSION, key.kind, key.usage, key.modifier)
        return self._cipher.encrypt(header + key.material, None).hex().upper()

    def unwrap(self, cryptogram: str) -> Key:
        """Raises ValueError for what was not wrapped under this major key."""
        return self._open(cryptogram)

    def _decrypt(self, cryptogram: str) -> Key:
        try:
            plain = self._cipher.decrypt(bytes.fromhex(cryptogram), None)
        except InvalidTag:
            raise ValueError("not a cryptogram under this major key") from None
        version, kind, usage, modifier = _HEADER.unpack_from(plain)
        if version != _VERSION:
            raise ValueError(f"a cryptogram of version {version}")
        return Key(KeyKind(kind), plain[_HEADER.size :], Usage(usage), modifier)
