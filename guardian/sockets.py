"""Listening sockets: bound here, or by somebody else before this process began, so that no connect is ever refused."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any, Final

import attrs

from config.model import Bind, UnixBind

ADMIN: Final = "admin"  # the name of the admin port's sockets; listeners have their own
_BACKLOG: Final = 1024
_FIRST: Final = 3  # SD_LISTEN_FDS_START
_Found = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]
_OF_SYSTEMD: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


@attrs.define(eq=False)
class Offered:
    socket: socket.socket
    name: str
    moves: bool  # a listener of that name takes it, whatever address the configuration gives


class OfferedSockets:
    """What was bound for us. Whoever wants to listen asks here first; in the end the rest is closed."""

    def __init__(self, offered: Iterable[Offered] = ()) -> None:
        self._offered = list(offered)

    def take(self, name: str, bind: Bind | UnixBind) -> socket.socket | None:
        """The socket of that address, or else of that name; None where there is none."""
        wanted = _addresses(bind) if self._offered else set()
        for offered in self._offered:
            if _place(offered.socket) in wanted:
                return self._out(offered)
        for offered in self._offered:
            if offered.name == name and (offered.moves or (isinstance(bind, Bind) and not bind.port)):
                return self._out(offered)
        return None

    def take_all(self, name: str, bind: Bind | UnixBind) -> list[socket.socket]:
        """Every one of them."""
        taken = []
        while (sock := self.take(name, bind)) is not None:
            taken.append(sock)
        return taken

    def add(self, offered: Iterable[Offered]) -> None:
        """More of them, while we run already."""
        self._offered.extend(offered)

    def close(self) -> list[str]:
        """Let go of what nobody took; says what that was, for people."""
        left = [f"{offered.name} ({address_of(offered.socket)})" for offered in self._offered]
        for offered in self._offered:
            offered.socket.close()
        self._offered.clear()
        return left

    def _out(self, offered: Offered) -> socket.socket:
        self._offered.remove(offered)
        return offered.socket


def listen(bind: Bind) -> socket.socket:
    """Take the address. Raises OSError."""
    return _listening(_found(bind)[0])


def listen_everywhere(bind: Bind) -> list[socket.socket]:
    """Take every address that the host's name has; with port 0 one of them. Raises OSError."""
    taken: list[socket.socket] = []
    try:
        for found in _found(bind)[: None if bind.port else 1]:
            taken.append(_listening(found, alone=True))
    except OSError as exc:
        for sock in taken:
            sock.close()
        raise OSError(exc.errno, f"{bind}: {exc.strerror}") from exc
    return taken


def _found(bind: Bind) -> Sequence[_Found]:
    return socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)


def _listening(found: _Found, *, alone: bool = False) -> socket.socket:
    """``alone``: an IPv6 address does not take the IPv4 one too."""
    family, kind, protocol, _, address = found
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if alone and family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def of_systemd(environment: MutableMapping[str, str], pid: int) -> OfferedSockets:
    """The sockets that sd_listen_fds(3) describes. Their variables are taken out: they are not for our children.

    Raises OSError for a descriptor that is no listening stream socket.
    """
    count, owner, names = (environment.pop(name, "") for name in _OF_SYSTEMD)
    if owner != str(pid) or not count.isdigit():
        return OfferedSockets()
    descriptors = range(_FIRST, _FIRST + int(count))
    named = names.split(":") if names else []
    named += [""] * (len(descriptors) - len(named))
    return OfferedSockets(Offered(adopt(fd), name, moves=True) for fd, name in zip(descriptors, named, strict=False))


def adopt(descriptor: int) -> socket.socket:
    """A listening socket that came with the process; no child gets it by accident. Raises OSError."""
    os.set_inheritable(descriptor, False)
    sock = socket.socket(fileno=descriptor)
    if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.detach()
        raise OSError(f"descriptor {descriptor} was handed over and is no listening stream socket")
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> str:
    """Where it listens, for people."""
    place = sock.getsockname()
    return str(Bind(host=place[0], port=place[1])) if isinstance(place, tuple) else str(place)


def _place(sock: socket.socket) -> object:
    place = sock.getsockname()
    return place[:2] if isinstance(place, tuple) else place


def _addresses(bind: Bind | UnixBind) -> set[object]:
    if isinstance(bind, UnixBind):
        return {str(bind.path)}
    with contextlib.suppress(OSError):
        return {found[4][:2] for found in _found(bind)}
    return set()
