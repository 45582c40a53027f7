"""What the service manager is told: the datagrams of sd_notify(3), where there is one that wants them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import MutableMapping
from typing import Final

SOCKET: Final = "NOTIFY_SOCKET"
_ABSTRACT: Final = "@"  # how the environment writes the zero byte such an address begins with


class Notifier:
    """Never waits and never fails: nobody serves worse because nobody listens."""

    def __init__(self, address: str = "") -> None:
        """``address``: a path, or `@` and a name; empty where nobody wants to know."""
        self._address = "\0" + address[1:] if address.startswith(_ABSTRACT) else address
        self._status = ""
        self.silent = not address  # may be set, while another process speaks for the service

    def ready(self) -> None:
        self._tell("READY=1")

    def reloading(self) -> None:
        """Until `ready` is told again. The time lets systemd tell this reload from the one before (notify-reload)."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for people; told when it changes."""
        if text != self._status and not self.silent:
            self._status = text
            self._tell(f"STATUS={text}")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def take_the_word(self) -> None:
        """The process that spoke for the service has handed it to this one, and its watchdog."""
        self.silent = not self._address
        self.ready()
        self.alive()

    def main_process(self, pid: int) -> None:
        """From now on that process is the service."""
        self._tell(f"MAINPID={pid}")

    def _tell(self, message: str) -> None:
        if self.silent or not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(message.encode(), self._address)


def notifier(environment: MutableMapping[str, str]) -> Notifier:
    """For the manager named there."""
    return Notifier(environment.get(SOCKET, ""))


def watchdog_interval(environment: MutableMapping[str, str], pid: int) -> float | None:
    """Seconds between signs of life: a third of what the manager waits; None where it wants none of this process."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        seconds = int(environment["WATCHDOG_USEC"]) / 1e6 / 3
    except (KeyError, ValueError):
        return None
    return seconds if seconds > 0 else None
