"""RSA keys made in advance: a 4,096-bit key takes seconds to find, and a test has not got them."""

from __future__ import annotations

from collections import deque
from threading import Lock

from cryptography.hazmat.primitives.asymmetric import rsa


class KeyPool:
    """Gives each key once, and makes one when none is left. Usable from any thread.

    With `reuse` keys come round again when the pool is used up, so that GRSA is quick and keys are not unique.
    """

    def __init__(self, *, reuse: bool = False) -> None:
        self._reuse = reuse
        self._lock = Lock()
        self._keys: dict[tuple[int, int], deque[rsa.RSAPrivateKey]] = {}

    def fill(self, count: int, bits: int = 2048, exponent: int = 65537) -> None:
        for _ in range(count):
            self._put(rsa.generate_private_key(exponent, bits))

    def take(self, bits: int, exponent: int) -> rsa.RSAPrivateKey:
        """Raises ValueError for a size or exponent that cannot be."""
        with self._lock:
            keys = self._keys.setdefault((bits, exponent), deque())
            if keys:
                key = keys.popleft()
                if self._reuse:
                    keys.append(key)
                return key
        key = rsa.generate_private_key(exponent, bits)
        if self._reuse:
            self._put(key)
        return key

    def _put(self, key: rsa.RSAPrivateKey) -> None:
        kind = (key.key_size, key.public_key().public_numbers().e)
        with self._lock:
            self._keys.setdefault(kind, deque()).append(key)
