"""One worker process as its supervisor sees it: starting it, giving it its orders, and hearing of its end."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Final

import trio

from guardian.processes import command

from .channel import Channel, channel_pair
from .handing import Handing
from .orders import Orders, parcels

_PATIENCE: Final = 60.0  # seconds to prepare orders: certificates are read, and a catalogue
_ADOPTS_WITHIN: Final = 30.0  # seconds
_ENDS_WITHIN: Final = 2.0  # seconds after it has closed its end of the line


class Member:
    """``serving`` while it takes clients. ``silent``: looks in a row at which it had not said that it is alive."""

    def __init__(self, number: int, count: int, file: Path, board: int) -> None:
        self.number = number
        self.serving = False
        self.orders: Orders | None = None  # that it runs on
        self.silent = 0
        self.channel: Channel
        self.pid = 0
        self._count = count
        self._file = file
        self._board = board
        self._process: trio.Process | None = None

    @property
    def name(self) -> str:
        return f"worker {self.number}"

    async def start(self) -> None:
        """A process, which waits for its orders. Raises OSError."""
        self.channel, line = channel_pair()
        self.channel.hear("alive", self._alive)
        with line:
            handing = Handing(number=self.number, count=self._count, file=self._file, line=line, board=self._board)
            try:
                self._process = await trio.lowlevel.open_process(
                    command("guardian.workers.main"),
                    pass_fds=handing.descriptors,
                    env=handing.environment(os.environ),
                    stdin=subprocess.DEVNULL,
                    process_group=0,  # an interrupt at the terminal is for the supervisor
                )
            except BaseException:
                self.channel.close()
                raise
        self.pid, self.silent, self.orders = self._process.pid, 0, None

    async def prepare(self, orders: Orders, *, anew: bool) -> None:
        """``anew``: it has nothing of the orders before. Raises ChannelError: nothing has changed there."""
        sockets, owners = (orders.sockets, orders.owners) if anew else (orders.fresh_sockets, orders.fresh_owners)
        for parcel in parcels(sockets, owners):
            self.channel.tell("offer", names=parcel.names, descriptors=parcel.descriptors)
        await self.channel.ask(
            "prepare", number=orders.number, text=orders.text, digest=orders.digest, timeout=_PATIENCE
        )

    async def adopt(self, orders: Orders) -> None:
        """Raises ChannelError: nobody knows then what it runs on, and it has to be ended."""
        await self.channel.ask("adopt", number=orders.number, timeout=_ADOPTS_WITHIN)
        self.orders = orders

    async def let_in(self) -> None:
        """Raises ChannelError."""
        self.serving = True  # before anything else can happen: from now on it hears of new orders
        await self.channel.ask("let_in")

    def forget(self) -> None:
        """What was prepared is not to be."""
        self.channel.tell("forget")

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def wait(self) -> str:
        """Until it has ended, which it does soon; how, for people."""
        assert self._process is not None, "it was started"
        self.serving = False
        self.channel.close()
        with trio.CancelScope(shield=True):
            with trio.move_on_after(_ENDS_WITHIN):
                await self._process.wait()
            self.kill()
            code = await self._process.wait()
        return _said(code)

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def _alive(self) -> None:
        self.silent = 0


def _said(code: int) -> str:
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"
