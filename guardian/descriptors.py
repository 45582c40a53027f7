"""How many client connections there may be, so that descriptors are left for devices, admin and files."""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Final

_KEPT_BACK: Final = 64  # for logs, admin, epoll, files read at a reload, device connections beyond the counted


class Descriptors:
    """Counts client connections of all listeners, those that have not finished their handshake too.

    A pinned client needs a second descriptor for its device connection, so that these count here as well.
    """

    def __init__(self, limit: int, private: Callable[[], int]) -> None:
        """``limit``: of open files of this process. ``private``: how many device connections pinned clients have."""
        self._limit = limit
        self._private = private
        self.taken = 0
        self.reserve(0)

    @property
    def exhausted(self) -> bool:
        return self.taken + self._private() >= self.most

    def reserve(self, for_devices: int) -> None:
        """``for_devices``: shared connections that the configuration's devices may need."""
        self.most = max(self._limit - _KEPT_BACK - for_devices, 8)


def raise_limit() -> int:
    """Use all the descriptors the system grants; gives the limit that then holds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
