"""The command line of the demo."""

from __future__ import annotations

import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs
import click
import trio

from .admin import NoAnswer
from .configuration import DEVICES
from .play import Play
from .programs import ProgramFailed
from .screen import Screen

_FOLDER: Final = "demo"  # ignored by git
_INTERRUPTED: Final = 130


@click.command()
@click.option("--seconds", type=click.FloatRange(4, 3600), default=20, show_default=True, help="How long it takes.")
@click.option("--clients", type=click.IntRange(1, 500), default=12, show_default=True, help="Clients at once.")
@click.option("--stay", is_flag=True, help="Stay up afterwards, until Ctrl-C.")
@click.option(
    "--slow", type=click.Choice([device.name for device in DEVICES]), help="A device that takes ten times as long."
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes of the proxy.")
def demo(seconds: float, clients: int, stay: bool, slow: str | None, workers: int) -> int:
    """Run the proxy in front of three emulated devices and a backup, and take a device away under traffic.

    Everything lives in a folder of its own below ./demo, which is removed at the end. Exit code 0 if no read failed.
    """
    parent = Path(_FOLDER)
    try:
        parent.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent)).resolve()
    except OSError as exc:
        raise click.ClickException(f"cannot write to {parent.resolve()}: {exc.strerror}") from exc
    run = _Run(Play(folder, Screen.choose(), seconds=seconds, clients=clients, stay=stay, slow=slow, workers=workers))
    try:
        trio.run(run.until_a_signal)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            parent.rmdir()  # unless somebody keeps something there
    if run.problem is not None:
        raise click.ClickException(run.problem)
    if run.interrupted and not run.play.finished:
        click.echo("interrupted", err=True)
        return _INTERRUPTED
    return 0 if run.play.succeeded else 1


def _first(exc: BaseException) -> BaseException:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc


@attrs.define(eq=False)
class _Run:
    play: Play
    interrupted: bool = False
    problem: str | None = None

    async def until_a_signal(self) -> None:
        """Play to the end or until somebody stops it; all programs are ended then."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_at_a_signal, nursery.cancel_scope)
            try:
                await self.play.run()
            except* (ProgramFailed, NoAnswer) as group:
                self.problem = str(_first(group))
            nursery.cancel_scope.cancel()

    async def _stop_at_a_signal(self, scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for _ in signals:
                self.interrupted = True
                scope.cancel()
                return
