"""One worker, in a process of its own. Its supervisor starts it; see `handing`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

import trio

from config.model import Config, Logs
from guardian.interpreter import share_the_interpreter
from guardian.logs import LogHandle, start
from guardian.proxy import Proxy
from guardian.secrecy import forbid_core_dumps
from guardian.wellbeing import Wellbeing

from .board import Board, Place
from .channel import Channel
from .handing import Handing, handed
from .seen import Seen
from .verdicts import Verdicts
from .worker import ALIVE_EVERY, Word, Worker

# The supervisor says when to end and when to read the file again; a service manager may signal all of its processes.
_OF_THE_SUPERVISOR: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


def main() -> int:
    """Serve until told to stop, or until the supervisor has ended. Exit code 0 after a drain, 2 if started by hand."""
    for number in _OF_THE_SUPERVISOR:
        signal.signal(number, signal.SIG_IGN)
    forbid_core_dumps()
    try:
        given = handed(os.environ)
    except (LookupError, ValueError, OSError):
        print("guardian: a worker is started by `guardian run` only, as `workers` says", file=sys.stderr)
        return 2
    share_the_interpreter()
    with start(Logs(), marks={"worker": given.number}) as logs:
        trio.run(_serve, given, logs)
    return 0


async def _serve(given: Handing, logs: LogHandle) -> None:
    channel = Channel(given.line)
    proxy = Proxy(place=Place(Board(given.board), given.number))
    proxy.lines_dropped = lambda: logs.dropped

    def adopted(config: Config) -> None:
        logs.apply(config.logs)

    worker = Worker(given, channel, proxy, adopted)
    seen = Seen(proxy, channel, given.number)
    verdicts = Verdicts(proxy, channel)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.run)
        nursery.start_soon(channel.run)
        nursery.start_soon(seen.run)
        nursery.start_soon(verdicts.run)
        nursery.start_soon(_show_life, worker, proxy, channel)
        await worker.run()
        await seen.last_words()
        nursery.cancel_scope.cancel()


async def _show_life(worker: Worker, proxy: Proxy, channel: Channel) -> None:
    await worker.serves.wait()  # until then no listener accepts, which looks as if it hung
    await Wellbeing(proxy, Word(channel), ALIVE_EVERY).run()
