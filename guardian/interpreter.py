"""How the threads of a process share its interpreter."""

from __future__ import annotations

import sys
from typing import Final

# Seconds, 5 ms by default: while a thread works, each call into OpenSSL makes the loop wait for so long to go on.
_SWITCH_INTERVAL: Final = 0.0001


def share_the_interpreter() -> None:
    """The loop must not wait for a thread: threads encode what is shown, and of many clients that is much."""
    sys.setswitchinterval(_SWITCH_INTERVAL)
