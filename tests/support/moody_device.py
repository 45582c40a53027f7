"""A device on a clear port, in a thread, that answers as a test says: in time, late, wrongly, not at all."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = Callable[[bytes], bytes | None]  # None: close the connection


class MoodyDevice:
    """Answers each message by ``answer``; from ``stall_at`` seconds after its first message it stands still once."""

    def __init__(self, answer: Answer, stall_at: float | None, stall: float) -> None:
        self._answer = answer
        self._stall_at = stall_at
        self._stall = stall
        self._began = 0.0
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self.asked = 0
        self._ended = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)

    def serve(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self._listening:
                    self._selector.register(self._listening.accept()[0], selectors.EVENT_READ, bytearray())
                else:
                    self._serve(key.fileobj, key.data)  # type: ignore[arg-type]
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _serve(self, sock: socket.socket, buffer: bytearray) -> None:
        try:
            data = sock.recv(65536)
        except OSError:
            data = b""
        buffer += data
        gone = not data
        while not gone and b"]" in buffer:
            message, _, rest = bytes(buffer).partition(b"]")
            buffer[:] = rest
            self._stand_still()
            self.asked += 1
            answer = self._answer(message + b"]")
            if answer is None:
                gone = True
            elif answer:
                gone = not _sent(sock, answer)
        if gone:
            self._selector.unregister(sock)
            sock.close()

    def _stand_still(self) -> None:
        now = time.monotonic()
        self._began = self._began or now
        if self._stall_at is not None and now - self._began >= self._stall_at:
            self._stall_at = None
            self._ended.wait(self._stall)

    def end(self) -> None:
        self._ended.set()


def _sent(sock: socket.socket, answer: bytes) -> bool:
    try:
        sock.sendall(answer)
    except OSError:
        return False
    return True


@contextmanager
def moody_device(
    answer: Answer = lambda request: request, *, stall_at: float | None = None, stall: float = 1.0
) -> Iterator[MoodyDevice]:
    device = MoodyDevice(answer, stall_at, stall)
    thread = threading.Thread(target=device.serve)
    thread.start()
    try:
        yield device
    finally:
        device.end()
        thread.join()
