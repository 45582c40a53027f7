"""What listens on NOTIFY_SOCKET, as systemd does."""

from __future__ import annotations

import socket


class ServiceManager:
    """A real datagram socket; ``address`` is a path, or `@` and a name."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._sock.bind("\0" + address[1:] if address.startswith("@") else address)
        self._sock.settimeout(10)

    def heard(self) -> str:
        """The next message, waited for."""
        return self._sock.recv(4096).decode()

    def heard_so_far(self) -> list[tuple[int, str]]:
        """All that has come, each with the process that said it."""
        found = []
        self._sock.settimeout(0)
        try:
            while True:
                data, ancillary, _, _ = self._sock.recvmsg(4096, socket.CMSG_SPACE(12))
                pid = int.from_bytes(ancillary[0][2][:4], "little")
                found.append((pid, data.decode()))
        except BlockingIOError:
            return found
        finally:
            self._sock.settimeout(10)

    def close(self) -> None:
        self._sock.close()
