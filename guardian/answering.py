"""A process that works things out for the proxy: each question on standard input gets one answer on standard output.

`guardian.apart` starts and asks it. It ends with its input.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO, Final

LENGTH: Final = 4  # bytes before each message that say how long it is, the highest first
DONE: Final = b"\0"  # before an answer; anything else comes before the reason why there is none
FAILED: Final = b"\1"
_NICE: Final = 5  # requests come first where there are not enough cores


def answer(work: Callable[[bytes], bytes]) -> None:
    """Until there are no more questions. What ``work`` raises is told, and the next question may succeed."""
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the proxy, which is still looked at while it drains
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICE)
    read, write = sys.stdin.buffer, sys.stdout.buffer
    while (question := _message(read)) is not None:
        try:
            said = DONE + work(question)
        except Exception as exc:  # noqa: BLE001 - the barrier
            said = FAILED + f"{type(exc).__name__}: {exc}".encode()
        write.write(framed(said))
        write.flush()


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(LENGTH) + message


def _message(read: BinaryIO) -> bytes | None:
    """The next one; None where there is none any more."""
    head = read.read(LENGTH)
    data = read.read(int.from_bytes(head))
    return data if len(head) == LENGTH and len(data) == int.from_bytes(head) else None
