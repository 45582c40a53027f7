"""Scrapes and watches an admin port, and does as little as it can beside: `python -m loadtest.onlookers.watch`.

Prints one line of JSON every time that it is asked for one by a line on standard input, and ends with that.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Final

import trio

_UPGRADE: Final = (
    "GET /feed HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# As Prometheus asks.
_SCRAPE: Final = (
    "GET /metrics HTTP/1.1\r\nHost: {}\r\nAccept: application/openmetrics-text; version=1.0.0\r\n"
    "Accept-Encoding: gzip\r\n\r\n"
)
_SCRAPERS: Final = 10


class Onlookers:
    def __init__(self, address: str) -> None:
        self._address = address
        host, _, port = address.rpartition(":")
        self._place = (host, int(port))
        self.scrapes = self.scraped = self.watched = 0  # answers, their bytes; bytes of frames
        self.slowest = 0.0  # seconds of a scrape

    async def scrape(self, every: float, first: float) -> None:
        """One scrape each ``every`` seconds, on time whatever became of the one before."""
        stream = await trio.open_tcp_stream(*self._place)
        due = trio.current_time() + first
        while True:
            await trio.sleep_until(due)
            due += every
            began = time.monotonic()
            await stream.send_all(_SCRAPE.format(self._address).encode())
            head = b""
            while b"\r\n\r\n" not in head:
                head += await _some(stream)
            head, _, body = head.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            rest = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]) - len(body)
            self.scraped += len(body) + rest
            while rest:
                more = await _some(stream)
                rest -= len(more)
            self.scrapes += 1
            self.slowest = max(self.slowest, time.monotonic() - began)

    async def watch(self) -> None:
        stream = await trio.open_tcp_stream(*self._place)
        await stream.send_all(_UPGRADE.format(self._address).encode())
        while True:
            frame = await _some(stream)  # not in one line with what follows: all of them count into it
            self.watched += len(frame)

    async def run(self, rate: int, dashboards: int) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(_SCRAPERS if rate else 0):
                nursery.start_soon(self.scrape, _SCRAPERS / rate, number / rate)
            for _ in range(dashboards):
                nursery.start_soon(self.watch)
            await trio.to_thread.run_sync(sys.stdin.readline)
            facts = {"scrapes": self.scrapes, "scraped": self.scraped, "watched": self.watched, "slowest": self.slowest}
            print(json.dumps(facts), flush=True)
            nursery.cancel_scope.cancel()


async def _some(stream: trio.SocketStream) -> bytes:
    data = await stream.receive_some(262_144)
    if not data:
        raise ConnectionError("the admin port closed the connection")
    return bytes(data)


if __name__ == "__main__":
    # They have a machine of their own; here they must not take the proxy's. Whoever is only nice may still finish a
    # slice of milliseconds while the proxy waits.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    trio.run(Onlookers(sys.argv[1]).run, int(sys.argv[2]), int(sys.argv[3]))
