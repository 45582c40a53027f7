"""The admin port: accepts connections and keeps them apart, so that none can end the proxy."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

import structlog
import trio

from balancer.transport.peers import Peer, PeerRefused
from config.credentials import CredentialError
from config.model import Admin, Bind, UnixBind
from guardian.events import Actor
from guardian.installation import version
from guardian.logs import RateLimited
from guardian.operable import Operable
from guardian.ready import Ready

from .access import Access, is_loopback
from .connection import Connection, Guest, Times
from .dispatch import Conversation, Dispatcher
from .keys import ROLES, Keys, read_keys
from .listening import listen_admin, uid_of_peer
from .making import Making
from .message import ANYONE, LOOPBACK, Request, Response, Role, refusal
from .neighbours import user_at
from .room import Room
from .route import Table
from .routes import all_routes
from .tls import AdminSide

_PATIENT = Times()
_UNIX: Final = "unix"  # in place of an address


async def serve_admin(
    admin: Admin,
    proxy: Operable,
    *,
    times: Times = _PATIENT,
    listening: Sequence[socket.socket] = (),
    making: Making | None = None,
    task_status: trio.TaskStatus[Bind | UnixBind] = trio.TASK_STATUS_IGNORED,
) -> None:
    """An `AdminServer` that follows the proxy's reloads; parameters and errors as there."""
    server = AdminServer(admin, await trio.to_thread.run_sync(read_keys, admin), proxy, times, making)

    def adopt(ready: Ready) -> None:
        server.adopt(ready.config.admin, ready.keys)

    proxy.adopters.append(adopt)
    try:
        await server.serve(listening, task_status=task_status)
    finally:
        proxy.adopters.remove(adopt)


class AdminServer:
    """Accepts and bounds connections. When there is no room, the one that has waited longest for its client goes."""

    def __init__(
        self, admin: Admin, keys: Keys, proxy: Operable, times: Times = _PATIENT, making: Making | None = None
    ) -> None:
        """``making``: as `all_routes` has it."""
        self._admin = admin
        self._keys = keys
        self._times = times
        self._room = Room()
        self._open_to_others = False
        self._log = structlog.get_logger()
        self._accept_faults = RateLimited()
        self._client_faults = RateLimited()
        table = Table(all_routes(proxy, version() or "unknown", making))
        self._dispatcher = Dispatcher(table, _access(admin, keys), proxy.events)

    def adopt(self, admin: Admin, keys: Keys) -> None:
        """Let in who may come from now on, and end the streams of who may not any more; never raises.

        Where the port listens stays as it is. What would leave it open to others is not adopted.
        """
        if self._open_to_others and not _protected(keys):
            self._log.error("the admin port keeps its tokens and certificates until a restart: it is open to others")
            return
        if isinstance(self._admin.bind, UnixBind) and admin.bind == self._admin.bind and admin.mode != self._admin.mode:
            with suppress(OSError):
                self._admin.bind.path.chmod(int(admin.mode, 8))
        self._admin, self._keys = admin, keys
        self._dispatcher.access = _access(admin, keys)
        for scope, request in self._room.lasting:
            if not self._still_good(request) or not self._dispatcher.welcome(request):
                scope.cancel()

    async def serve(
        self,
        listening: Sequence[socket.socket] = (),
        *,
        task_status: trio.TaskStatus[Bind | UnixBind] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled, which closes every connection at once; reports where it listens, with the real port.

        ``listening``: sockets that are bound already; they are closed in the end. Raises OSError when the address
        cannot be had, CredentialError when it is open to others and nothing protects it.
        """
        with self._listening(listening) as sockets:
            self._open_to_others = any(_reaches_others(each) for each in sockets)
            if self._open_to_others and not _protected(self._keys):
                raise CredentialError(
                    f"admin.bind {self._admin.bind} is open to other machines: give it token_file, or tls with ca"
                )
            async with trio.open_nursery() as nursery:
                for each in sockets:
                    listener = trio.SocketListener(trio.socket.from_stdlib_socket(each))
                    nursery.start_soon(self._accept, listener, nursery)
                bind = self._admin.bind
                if isinstance(bind, Bind) and isinstance(place := sockets[0].getsockname(), tuple):
                    bind = Bind(host=bind.host, port=place[1])
                task_status.started(bind)

    @contextmanager
    def _listening(self, given: Sequence[socket.socket]) -> Iterator[Sequence[socket.socket]]:
        sockets, forget = (list(given), None) if given else listen_admin(self._admin)
        try:
            yield sockets
        finally:
            if forget is not None:
                forget()
            for each in sockets:
                each.close()

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError as exc:  # no descriptors, a client gone before its accept, ...: none is a reason to stop
                held = self._accept_faults.admit(trio.current_time())
                if held is not None:
                    self._log.warning("admin cannot accept", error=exc, held_back=held)
                await trio.sleep(0.1)
                continue
            if not self._room.make():
                stream.socket.close()
                continue
            self._room.open += 1
            nursery.start_soon(self._barrier, stream)

    async def _barrier(self, stream: trio.SocketStream) -> None:
        """Nothing but a cancellation leaves a connection: an exception here would end the whole server."""
        try:
            await self._serve(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client is gone
        except Exception as exc:  # noqa: BLE001 (the barrier)
            held = self._client_faults.admit(trio.current_time())
            if held is not None:
                self._log.error("admin connection failed", exc_info=exc, held_back=held)
        finally:
            self._room.open -= 1
            stream.socket.close()

    async def _serve(self, plain: trio.SocketStream) -> None:
        guest = _guest(plain)
        stream: trio.abc.Stream = plain
        if self._keys.side is not None and plain.socket.family != socket.AF_UNIX:
            shaken = await self._shake_hands(self._keys.side, plain, guest.actor.source)
            if shaken is None:
                return
            stream, guest = shaken[0], guest.over_tls(shaken[1])
        connection = Connection(stream, self._answer, room=self._room, times=self._times, guest=guest)
        await connection.serve()
        with trio.move_on_after(self._times.linger):
            await stream.aclose()

    async def _answer(self, request: Request) -> Response | Conversation:
        if not self._still_good(request):
            return refusal(403, "this connection is not good enough any more: make a new one", Connection="close")
        return await self._dispatcher.answer(request)

    def _still_good(self, request: Request) -> bool:
        """Whether its connection would be let in now: a certificate may have ended, or a reload have asked for one."""
        side = self._keys.side
        if request.actor.source == _UNIX:
            return True
        if side is None or not request.secure:
            return side is None and not request.secure
        if not isinstance(request.client, Peer):
            return not self._keys.mutual
        return side.passes(request.client, time.time())

    async def _shake_hands(
        self, side: AdminSide, plain: trio.SocketStream, peer: str
    ) -> tuple[trio.abc.Stream, Peer | None] | None:
        try:
            with self._room.waiting(self._times.request):
                return await side.handshake(plain)
        except (trio.BrokenResourceError, PeerRefused) as exc:
            held = self._client_faults.admit(trio.current_time())
            if held is not None:
                self._log.warning("admin handshake failed", peer=peer, error=exc.__cause__ or exc, held_back=held)
        return None


def _access(admin: Admin, keys: Keys) -> Access:
    host = admin.bind.host if isinstance(admin.bind, Bind) else "localhost"
    names = [host, *(keys.side.names if keys.side is not None else ())]
    clients = [(client.match, ROLES[client.role]) for client in admin.clients]
    return Access(tokens=keys.tokens, names=names, clients=clients)


def _protected(keys: Keys) -> bool:
    return bool(keys.tokens) or keys.mutual


def _reaches_others(listening: socket.socket) -> bool:
    return listening.family != socket.AF_UNIX and not is_loopback(listening.getsockname()[0])


def _guest(plain: trio.SocketStream) -> Guest:
    """Who comes, as far as the connection says."""
    user = None
    if plain.socket.family == socket.AF_UNIX:
        uid = uid_of_peer(plain.socket)  # type: ignore[arg-type]
        actor, local = Actor(name=f"uid {uid}", source=_UNIX), "localhost"
    else:
        try:
            local, peer = plain.socket.getsockname()[0], plain.socket.getpeername()[0]
        except OSError as exc:
            raise trio.BrokenResourceError("the client was gone before its accept") from exc
        if is_loopback(peer):
            user = partial(user_at, plain.socket.family, plain.socket.getpeername(), plain.socket.getsockname())
        actor = Actor(name=LOOPBACK if is_loopback(peer) else ANYONE, source=peer)
    return Guest(actor=actor, role=Role.OPERATE, secure=False, local_host=local, user=user)
