"""An emulated device on a real port, controlled from the same process."""

from __future__ import annotations

import ssl
import time
from contextlib import AbstractAsyncContextManager, suppress
from random import Random
from typing import Final

import trio

from loadtest.framing import Framing

from .connection import Connection
from .faults import FaultKind, Faulty
from .hsm import Hsm, Refusals
from .identity import DEFAULT_DIRECTORY, Directory
from .journal import Change, Event, Journal
from .keypool import KeyPool
from .keytable import KeyTable
from .latency import NO_TIME, Latency
from .listening import Listening
from .majorkey import MajorKey
from .registry import Kind
from .session import Session, SessionLimits
from .stream import Gone, Stream
from .tls import common_name, nobodys_context
from .workload import Workload

_HANDSHAKE: Final = 10.0  # seconds


class SimulatedDevice:
    """One HSM: ``await nursery.start(device.serve)``, then `address` is real and stays the same.

    ``tls`` None is clear. Everything that is an attribute here may be changed while the device works: `fault`,
    `workload`, `hsm`. With ``certificate_login`` a client certificate whose Common Name is an identity is a login.
    ``parallel`` is how many requests of one connection are worked on at once; answers keep their order.
    """

    def __init__(
        self,
        name: str = "hsm",
        *,
        kind: Kind = Kind.HSM,
        model: str | None = None,
        firmware: str = "emulated 1.0",
        tls: ssl.SSLContext | None = None,
        bind: tuple[str, int] = ("127.0.0.1", 0),
        framing: Framing = Framing.EXCRYPT,
        directory: Directory = DEFAULT_DIRECTORY,
        major_key_seed: str = "guardian",
        slots: int = 256,
        latency: Latency | None = None,
        capacity: int | None = None,
        rate: float | None = None,
        parallel: int = 1,
        connections: int | None = None,
        logins_required: int = 1,
        certificate_login: bool = True,
        session_limits: SessionLimits | None = None,
        wrong_passwords: int | None = None,
        refusals: Refusals | None = None,
        key_pool: KeyPool | None = None,
        fault: Faulty | None = None,
        journal_limit: int | None = None,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.tls = tls
        self.framing = framing
        self.parallel = parallel
        self.connections_most = connections
        self.logins_required = logins_required
        self.certificate_login = certificate_login
        self.session_limits = session_limits or SessionLimits()
        self.journal = Journal(journal_limit)
        self.hsm = Hsm(
            name=name,
            kind=kind,
            model=model,
            firmware=firmware,
            directory=directory,
            major_key=MajorKey(major_key_seed),
            slots=slots,
            key_pool=key_pool or KeyPool(),
            fips=logins_required > 1,
            wrong_passwords=wrong_passwords,
            refusals=refusals or Refusals(),
        )
        self.workload = Workload(latency or NO_TIME, capacity, rate, Random(seed))
        self._fault = fault
        self._listening = Listening(bind)
        self._serving = False
        self._dead = False
        self._accepted = 0
        self._open: dict[Connection, trio.CancelScope] = {}

    @property
    def address(self) -> tuple[str, int]:
        return self._listening.address

    @property
    def port(self) -> int:
        return self.address[1]

    @property
    def connections(self) -> int:
        """How many are open, those in their handshake with them."""
        return len(self._open)

    @property
    def fault(self) -> Faulty | None:
        return self._fault

    @fault.setter
    def fault(self, fault: Faulty | None) -> None:
        """Takes effect at once: REFUSE closes the listening socket, and what follows opens it again."""
        self._fault = fault
        self._settle()

    def instant(self, code: str) -> bool:
        """Whether a request is answered without any wait and without any fault."""
        return self._fault is None and self.workload.none and not self.hsm.slow(code)

    def busy(self, code: str) -> AbstractAsyncContextManager[None]:
        """Entered when the work on a request is done, held while its answer is made."""
        return self.workload.turn(code)

    async def serve(self, task_status: trio.TaskStatus[SimulatedDevice] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then every connection is reset and the port given back. Raises OSError."""
        try:
            self._listening.open()
            self._serving = True
            self._settle()
            async with trio.open_nursery() as nursery:
                task_status.started(self)
                while True:
                    for sock in await self._listening.accept():
                        self._accepted += 1
                        nursery.start_soon(self._serve_one, Stream(sock), self._accepted, nursery)
        finally:
            self._serving = False
            self._listening.end()

    async def kill(self) -> None:
        """As if the power was cut: nobody listens, every connection is reset, nothing in work is answered."""
        if not self._dead:
            self._note(Change.KILLED)
        self._dead = True
        self._settle()
        self._reset_all()
        while self._open:
            await trio.lowlevel.checkpoint()

    async def restart(self, *, empty_keys: bool = False, keys: KeyTable | None = None) -> None:
        """Kill, unless that was done, and come back on the same port with all keys.

        With `empty_keys` the key table is empty then; with `keys` it is that one, such as a ``hsm.table.copy()`` of
        earlier: a device that comes back from a backup.
        """
        await self.kill()
        self.hsm.restart(empty_keys=empty_keys, keys=keys)
        self._note(Change.CAME_BACK_EMPTY if empty_keys else Change.CAME_BACK_OLD if keys else Change.CAME_BACK)
        self.workload.restart()
        self._dead = False
        self._settle()

    def reset_connections(self) -> None:
        """Reset what is open now, and go on listening."""
        self._reset_all()

    def _reset_all(self) -> None:
        for connection, scope in list(self._open.items()):
            connection.stream.abort()
            scope.cancel()

    def _note(self, change: Change) -> None:
        self.journal.events.append(Event(time.monotonic(), change, self.hsm.table.digest()))

    def _settle(self) -> None:
        """Listen, or not, as things are now."""
        if not self._serving:
            return
        if self._dead or (self._fault is not None and self._fault.standing is FaultKind.REFUSE):
            self._listening.close()
        else:
            self._listening.open()

    async def _serve_one(self, stream: Stream, number: int, nursery: trio.Nursery) -> None:
        connection = Connection(number, stream, self._new_session(), self, nursery)
        with trio.CancelScope() as scope:
            self._open[connection] = scope
            try:
                crowded = self.connections_most is not None and len(self._open) > self.connections_most
                if crowded or self._dead:  # dead: it was accepted just before the power went
                    stream.abort()
                    return
                if await self._greeted(connection):
                    await connection.serve()
                stream.close()
            finally:
                del self._open[connection]
                if not stream.closed:
                    stream.abort()

    async def _greeted(self, connection: Connection) -> bool:
        """Do the handshake. False when there is nobody to serve."""
        stream = connection.stream
        with suppress(Gone):
            if self._fault is not None and self._fault.standing is FaultKind.HANG:
                while await stream.receive():
                    pass
                return False
            if self.tls is None:
                return True
            wrong = self._fault is not None and self._fault.standing is FaultKind.WRONG_CERTIFICATE
            with trio.move_on_after(_HANDSHAKE):
                peer = await stream.secure(nobodys_context() if wrong else self.tls)
                if self.certificate_login and (name := common_name(peer)) is not None:
                    connection.session = self._new_session(name)
                return True
        return False

    def _new_session(self, name: str | None = None) -> Session:
        directory = self.hsm.directory
        certified = directory.by_name(name) if name is not None else None
        return Session(directory, self.logins_required, self.session_limits, certified)
