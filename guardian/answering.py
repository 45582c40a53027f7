"""A process that works things out for the proxy: each question on standard input gets one answer on standard output.

`guardian.apart` starts and asks it. It ends with its input.

Requests come first where there are not enough cores. Whoever is only nice may still finish a slice of milliseconds
while the proxy waits; who asks for idle time alone (SCHED_IDLE) is interrupted at once, and waits where there is none.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO, Final

LENGTH: Final = 4  # bytes before each message that say how long it is, the highest first
DONE: Final = b"\0"  # before an answer; anything else comes before the reason why there is none
FAILED: Final = b"\1"
SHARING: Final = "sharing"  # the argument of one that does not wait for an idle core
_NICE: Final = 5


def answer(work: Callable[[bytes], bytes]) -> None:
    """Until there are no more questions. What ``work`` raises is told, and the next question may succeed."""
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the proxy, which is still looked at while it drains
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # where a sandbox forbids it
        if SHARING in sys.argv[2:]:
            os.nice(_NICE)
        else:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
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
