"""The copy to a syslog receiver: connected again and again, and never in anybody's way."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import Final

import structlog
import trio

from balancer.transport.dial import DialError, dial
from balancer.transport.tls import DeviceSide
from config import model
from guardian.events import Event
from guardian.logs import RateLimited

from .syslog import Sender, message

_FIRST_PAUSE: Final = 0.2  # seconds; doubled with each try
_LONGEST_PAUSE: Final = 10.0
_LAST_WORDS: Final = 2.0  # seconds for what waits when we stop
_CHUNK: Final = 65_536  # bytes
_MOST_AT_ONCE: Final = 100  # messages handed to the system at once


class SyslogSender:
    """`put` never waits; what finds the queue full is dropped and counted.

    TCP does not say what the receiver has read: what was handed to the system when a connection breaks may be lost.
    """

    def __init__(self, settings: model.Syslog, side: DeviceSide | None) -> None:
        """``side``: TLS towards the receiver; None for clear."""
        self.settings = settings
        self.sent = 0  # handed to the system
        self.dropped = 0
        self.connected = False
        self.fault = ""  # why it is not connected
        self._who = Sender(facility=settings.facility, host=socket.gethostname(), process=str(os.getpid()))
        self._side = side
        self._rest = memoryview(b"")  # of the messages that are being sent
        self._in_rest = 0  # how many these are
        self._queue: deque[bytes] = deque()
        self._work = trio.Event()
        self._log = structlog.get_logger(syslog=str(settings.address))
        self._faults = RateLimited(period=60.0)

    def renew(self, side: DeviceSide | None) -> None:
        """For the next connection: its files may have changed."""
        self._side = side

    @property
    def queued(self) -> int:
        return len(self._queue)

    def put(self, event: Event) -> None:
        if len(self._queue) >= self.settings.queue:
            self.dropped += 1
            return
        self._queue.append(message(event, self._who))
        self._work.set()

    async def run(self) -> None:
        """Until cancelled; then what waits is sent, if somebody takes it soon."""
        pause = _FIRST_PAUSE
        while True:
            try:
                sock = await self._connect()
            except DialError as exc:
                self.fault = str(exc)
                if self._faults.admit(trio.current_time()) is not None:
                    self._log.warning("syslog cannot be reached", reason=self.fault)
                await trio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            with sock:
                await self._serve(sock)

    async def _connect(self) -> socket.socket:
        address = self.settings.address
        side = self._side

        def check(sock: socket.socket) -> None:
            if side is not None and isinstance(sock, ssl.SSLSocket):
                side.check(sock, time.time())

        context = side.context if side is not None else None
        return await dial(address.host, address.port, context, self.settings.connect_timeout, check)

    async def _serve(self, sock: socket.socket) -> None:
        """Send until the connection is lost."""
        self.connected, self.fault = True, ""
        self._rest = memoryview(b"")
        self._log.info("syslog connected")
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._notice_end, sock, nursery.cancel_scope)
                try:
                    await self._send_what_comes(sock)
                except OSError as exc:
                    self.fault = (exc.strerror or type(exc).__name__).lower()
                    nursery.cancel_scope.cancel()
                finally:
                    if not self.fault:
                        await self._last_words(sock)  # noqa: ASYNC102 - it shields itself
        finally:
            self.connected = False
            if isinstance(sock, ssl.SSLSocket):
                with suppress(OSError, ValueError):
                    sock.unwrap()  # says that this is the end, and does not wait for the answer
        self._log.warning("syslog connection lost", reason=self.fault)

    async def _last_words(self, sock: socket.socket) -> None:
        with trio.move_on_after(_LAST_WORDS, shield=True), suppress(OSError):
            while self._queue:
                await self._send_some(sock)

    async def _send_what_comes(self, sock: socket.socket) -> None:
        while True:
            if not self._queue:
                self._work = trio.Event()
                await self._work.wait()
            await self._send_some(sock)

    async def _send_some(self, sock: socket.socket) -> None:
        """A message leaves the queue when all of it is sent: on the next connection what was cut off comes again."""
        if not self._rest:
            part = bytearray()
            self._in_rest = 0
            for each in islice(self._queue, _MOST_AT_ONCE):
                part += each
                self._in_rest += 1
            self._rest = memoryview(bytes(part))
        while self._rest:
            try:
                self._rest = self._rest[sock.send(self._rest) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                await trio.lowlevel.wait_writable(sock)
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(sock)
        for _ in range(self._in_rest):
            self._queue.popleft()
        self.sent += self._in_rest

    async def _notice_end(self, sock: socket.socket, scope: trio.CancelScope) -> None:
        """A receiver says nothing; when there is something to read it has closed."""
        while True:
            await trio.lowlevel.wait_readable(sock)
            try:
                ended = not sock.recv(_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
            except OSError:
                ended = True
            if ended:
                self.fault = "the receiver has closed it"
                scope.cancel()
                return
