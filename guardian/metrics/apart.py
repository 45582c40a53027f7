"""Renders snapshots in a process of its own, which the proxy starts: `python -m guardian.metrics.apart`.

A thread would take the interpreter from the requests again and again. Each question on standard input is answered by
one message on standard output; it ends with its input. Nothing secret comes here: snapshots hold none.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import BinaryIO, Final

import attrs
import msgspec

from balancer.snapshot import ProxySnapshot

from .process import OwnFigure
from .rendering import Text, compressed

LENGTH: Final = 4  # bytes before each message that say how long it is, the highest first
_NICE: Final = 5  # requests come first where there are not enough cores


@attrs.frozen(kw_only=True)
class Question:
    version: str
    accept: str
    snapshot: ProxySnapshot
    own: tuple[OwnFigure, ...]  # of the process that asks


@attrs.frozen(kw_only=True)
class Answer:
    text: Text | None = None
    fault: str = ""  # why there is none


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the proxy, which is still scraped while it drains
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICE)
    read, write = sys.stdin.buffer, sys.stdout.buffer
    decode = msgspec.msgpack.Decoder(Question).decode
    while (data := _message(read)) is not None:
        try:
            asked = decode(data)
            answer = Answer(text=compressed(asked.snapshot, asked.version, asked.accept, asked.own))
        except Exception as exc:  # noqa: BLE001 - the barrier: the next one may succeed
            answer = Answer(fault=f"{type(exc).__name__}: {exc}")
        write.write(framed(answer))
        write.flush()


def framed(message: Question | Answer) -> bytes:
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(LENGTH) + data


def _message(read: BinaryIO) -> bytes | None:
    """The next one; None where there is none any more."""
    head = read.read(LENGTH)
    data = read.read(int.from_bytes(head))
    return data if len(head) == LENGTH and len(data) == int.from_bytes(head) else None


if __name__ == "__main__":
    main()
