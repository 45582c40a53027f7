"""The admin port: accepts connections and keeps them apart, so that none can end the proxy."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import structlog
import trio

from balancer.transport.peers import Peer, PeerRefused
from config.model import Admin, Bind
from guardian.events import Actor
from guardian.installation import version
from guardian.logs import RateLimited
from guardian.operable import Operable
from guardian.sockets import listen_everywhere

from .access import Access, Token, is_loopback
from .connection import Connection, Guest, Times
from .dispatch import Dispatcher
from .message import ANYONE, LOOPBACK, Role
from .room import Room
from .route import Table
from .routes import all_routes
from .tls import AdminSide


async def serve_admin(
    admin: Admin,
    proxy: Operable,
    *,
    times: Times = Times(),  # noqa: B008 (frozen)
    listening: Sequence[socket.socket] = (),
    task_status: trio.TaskStatus[Bind] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the admin port until cancelled; reports the address it listens on, with the real port.

    ``listening``: sockets that it has already; they are closed in the end, like those it binds where there are none.

    Raises OSError when the port or the token file cannot be had, CredentialError when a file of its TLS cannot be used,
    ValueError when what is asked for is unsafe. Cancelling closes every connection at once.
    """
    side = AdminSide(admin.tls) if admin.tls else None
    token = _read_token(admin)
    mutual = admin.tls is not None and bool(admin.tls.ca)
    if token is None and not mutual and not is_loopback(admin.bind.host):
        raise ValueError(f"admin.bind {admin.bind} is open to other machines: give it a token_file or tls with ca")
    tokens = [] if token is None else [Token(name="operator", role=Role.OPERATE, secret=token)]
    access = Access(tokens=tokens, names=[admin.bind.host, *(side.names if side else ())])
    table = Table(all_routes(proxy, version() or "unknown"))
    server = _Server(Dispatcher(table, access, proxy.events), side, times)
    listeners = [
        trio.SocketListener(trio.socket.from_stdlib_socket(sock)) for sock in listening or listen_everywhere(admin.bind)
    ]
    try:
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(server.accept, listener, nursery)
            port = listeners[0].socket.getsockname()[1]
            task_status.started(Bind(host=admin.bind.host, port=port))
    finally:
        for listener in listeners:
            listener.socket.close()


class _Server:
    """Accepts and bounds connections. When there is no room, the one that has waited longest for its client goes."""

    def __init__(self, dispatcher: Dispatcher, side: AdminSide | None, times: Times) -> None:
        self._dispatcher = dispatcher
        self._side = side
        self._times = times
        self._room = Room()
        self._log = structlog.get_logger()
        self._accept_faults = RateLimited()
        self._client_faults = RateLimited()

    async def accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
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
        local, peer = plain.socket.getsockname()[0], plain.socket.getpeername()[0]
        stream: trio.abc.Stream = plain
        client: Peer | None = None
        if self._side is not None:
            shaken = await self._shake_hands(self._side, plain, peer)
            if shaken is None:
                return
            stream, client = shaken
        connection = Connection(
            stream,
            self._dispatcher.answer,
            room=self._room,
            times=self._times,
            guest=Guest(
                actor=Actor(name=_name(client, peer), source=peer),
                role=Role.OPERATE,
                secure=self._side is not None,
                local_host=local,
            ),
        )
        await connection.serve()
        with trio.move_on_after(self._times.linger):
            await stream.aclose()

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


def _name(client: Peer | None, address: str) -> str:
    """Who comes, as far as the connection says."""
    if client is not None:
        return client.common_name or client.fingerprint
    return LOOPBACK if is_loopback(address) else ANYONE


def _read_token(admin: Admin) -> bytes | None:
    if admin.token_file is None:
        return None
    token = admin.token_file.read_bytes().strip()
    if not token:
        raise ValueError(f"{admin.token_file}: the admin token is empty")
    return token
