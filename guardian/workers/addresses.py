"""Where clients connect: sockets that the supervisor has bound, and that all workers accept from."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from config.model import Config, Listener
from guardian.sockets import OfferedSockets, address_of, listen

Bound = list[tuple[str, socket.socket]]  # by the listener's name


class Addresses:
    """The supervisor's copies, one of each; a listener lasts as long as its address, or its name where a port is 0."""

    def __init__(self, offered: OfferedSockets) -> None:
        """``offered``: what was bound for us."""
        self._offered = offered
        self._bound: dict[str, socket.socket] = {}  # by place

    def bind(self, config: Config) -> Bound:
        """Take the addresses that are new in it, and give these. Raises OSError, and then nothing has changed."""
        fresh: dict[str, tuple[str, socket.socket]] = {}
        try:
            for settings in config.listeners:
                place = _place(settings)
                if place not in self._bound:
                    sock = self._offered.take(settings.name, settings.bind) or listen(settings.bind)
                    fresh[place] = settings.name, sock
        except OSError as exc:
            for _, sock in fresh.values():
                sock.close()
            raise OSError(exc.errno, f"{settings.bind}: {exc.strerror}") from exc
        self._bound.update((place, sock) for place, (_, sock) in fresh.items())
        return list(fresh.values())

    def unbind(self, fresh: Bound) -> None:
        """What `bind` gave is not to be after all."""
        self._drop(place for place, sock in self._bound.items() if any(sock is each for _, each in fresh))

    def keep(self, config: Config) -> None:
        """Give back what is not in it any more; a worker that still has it is told to give it back too."""
        kept = {_place(settings) for settings in config.listeners}
        self._drop(place for place in self._bound if place not in kept)

    def of(self, config: Config) -> Bound:
        """Those of every listener."""
        return [(settings.name, self._bound[_place(settings)]) for settings in config.listeners]

    def shown(self, config: Config) -> dict[str, str]:
        """Where each listener listens, with its real port, by name."""
        return {name: address_of(sock) for name, sock in self.of(config)}

    def close(self) -> list[str]:
        """All of them; says what was offered and nobody wanted, for people."""
        self._drop(self._bound)
        return self._offered.close()

    def close_unused(self) -> list[str]:
        """Let go of what was offered and no listener wanted; says what that was, for people."""
        return self._offered.close()

    def _drop(self, places: Iterable[str]) -> None:
        for place in tuple(places):
            self._bound.pop(place).close()


def _place(settings: Listener) -> str:
    return str(settings.bind) if settings.bind.port else settings.name
