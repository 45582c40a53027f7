"""Connections to the admin port that mean it no good, made from a seed, and what must be true afterwards."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from typing import Final

import structlog
import trio

from config.model import Bind
from tests.support.admin_port import QUICK, ask, serving
from tests.support.operable import FakeProxy

AT_ONCE: Final = 40
_PIECES: Final = (
    b"GET ", b"POST ", b"HEAD ", b"OPTIONS * ", b"CONNECT a:1 ", b"/livez", b"/metrics", b"/status", b"/feed", b"/tail",
    b"/openapi.json", b"/learning", b"/groups/payments/devices/hsm1/drain", b"/../../etc/passwd", b"/%2e%2e/status",
    b"?a=b&a=%ff", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/2.0\r\n", b"Host: 127.0.0.1\r\n", b"Host: evil\r\n",
    b"Origin: http://127.0.0.1\r\n", b"Origin: null\r\n", b"\r\n", b"\n", b"Content-Length: 3\r\n",
    b"Content-Length: 99999999999\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Type: application/json\r\n", b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n",
    b"Connection: Upgrade\r\n", b"Connection: close\r\n", b"Sec-WebSocket-Version: 13\r\n",
    b"Sec-WebSocket-Version: 8\r\n", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"Sec-WebSocket-Key: x\r\n",
    b"Sec-WebSocket-Protocol: guardian, guardian.bearer.!!\r\n", b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
    b"Accept: application/openmetrics-text; version=x\r\n", b"Authorization: Bearer \xff\r\n", b"X\xc3\xa4: y\r\n",
    b"0\r\n\r\n", b"3\r\n{}\n\r\n", b'{"for": "10m"}', b"{}", b"\x81\x82\x00\x00\x00\x00hi", b"\x81\xfe\xff\xff",
    b"\x88\x80\x00\x00\x00\x00", b"\x89\x80\x00\x00\x00\x00", b"\xc1\x80\x00\x00\x00\x00", b"\x16\x03\x01\x02\x00",
    b"[AOECHO;AG1;]", b"\x00", b" " * 500, b"a" * 3000, b"X:" + b"y" * 3000 + b"\r\n", b"X: y\r\n" * 300,
)  # fmt: skip
_GOOD: Final = tuple(
    b"GET /%s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % path
    for path in (b"feed", b"status", b"tail")
)
_LEAVE: Final = ("end", "close", "reset", "silence")


def message(chance: random.Random) -> bytes:
    """Now and then it begins like a good one, so that what follows gets further."""
    begin = chance.choice(_GOOD) if chance.random() < 0.15 else b""
    parts = [chance.choice(_PIECES) for _ in range(chance.randrange(12))]
    if chance.random() < 0.3:
        parts.insert(chance.randrange(len(parts) + 1), chance.randbytes(chance.randrange(50)))
    return begin + b"".join(parts)


async def _connect(bound: Bind, raw: bytes, leave: str) -> None:
    stream = await trio.open_tcp_stream(bound.host, bound.port)
    try:
        with trio.move_on_after(2):
            await stream.send_all(raw)
            if leave == "end":
                await stream.send_eof()
            if leave in ("end", "silence"):
                with trio.move_on_after(0.02 if leave == "silence" else 2):
                    while await stream.receive_some():
                        pass
    except (trio.BrokenResourceError, OSError):
        pass
    if leave == "reset":
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    stream.socket.close()


async def attack(count: int, seed: int) -> str:
    """Make so many connections. Raises AssertionError where the server is not as it was before."""
    chance = random.Random(seed)
    left: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    with structlog.testing.capture_logs() as logged:
        async with serving(FakeProxy(), times=QUICK) as bound:
            room = trio.CapacityLimiter(AT_ONCE)

            async def one(raw: bytes, leave: str) -> None:
                async with room:
                    await _connect(bound, raw, leave)

            await ask(bound, "GET", "/livez")
            await _quiet()
            tasks, descriptors = _living(), _descriptors()
            began = time.monotonic()
            for start in range(0, count, 500):
                async with trio.open_nursery() as nursery:
                    for _ in range(min(500, count - start)):
                        leave = chance.choice(_LEAVE)
                        left[leave] += 1
                        nursery.start_soon(one, message(chance), leave)
                assert (await ask(bound, "GET", "/livez")).status == 200, f"dead after {start + 500} (seed {seed})"
                for event in logged:
                    errors[event["event"]] += event["log_level"] == "error"
                logged.clear()
            seconds = time.monotonic() - began
            with trio.move_on_after(10):
                while _living() > tasks or _descriptors() > descriptors:
                    await trio.sleep(0.02)
            assert _living() <= tasks, f"{_living() - tasks} tasks are left (seed {seed})"
            assert _descriptors() <= descriptors, f"{_descriptors() - descriptors} descriptors are left (seed {seed})"
    faults = {event: number for event, number in errors.items() if number}
    assert not faults, f"faults of our own: {faults} (seed {seed})"
    return f"{count} connections in {seconds:.1f} s ({dict(left)}), alive, nothing left"


async def _quiet() -> None:
    for _ in range(20):
        await trio.sleep(0.01)


def _living() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    try:
        print(trio.run(attack, given.connections, given.seed))
    except AssertionError as exc:
        print(f"the admin port did not stand it: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
