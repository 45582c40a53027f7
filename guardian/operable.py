"""What an operator's tools may see of a running proxy, and do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from balancer.snapshot import ProxySnapshot, Will
    from config.model import Config

    from .connected import ClientView, SessionView
    from .events import Actor, Events
    from .learned import Listed
    from .ready import Ready
    from .reloading import Reloading
    from .tailing import Line, Wanted


class Tailing(Protocol):
    """Completions for somebody who looks on, until `end`."""

    def take(self, most: int) -> tuple[list[Line], int]:
        """The oldest lines that wait, and how many were lost after the last of all that wait (0 while some remain)."""

    def end(self) -> None: ...


class Tailable(Protocol):
    def tail(self, wanted: Wanted, wake: Callable[[], None]) -> Tailing:
        """``wake`` is called when there is something to take where nothing was."""


class Teachable(Protocol):
    """Learns from live traffic: `Lessons`, of one process or of several."""

    def start(self, group: str | None, seconds: float) -> None:
        """Raises `LessonRunning`, or LookupError for no such group."""

    def stop(self) -> None: ...

    @property
    def facts(self) -> Mapping[str, object]: ...

    @property
    def ended(self) -> bool: ...

    def reporter(self, listed: Listed = list) -> Callable[[], Mapping[str, object]]: ...


class Operable(Protocol):
    """Called on the loop; never blocks."""

    @property
    def events(self) -> Events: ...

    @property
    def lessons(self) -> Teachable: ...

    @property
    def completions(self) -> Tailable: ...

    @property
    def config(self) -> Config: ...

    @property
    def reloading(self) -> Reloading | None:
        """None where it was not started from a file."""

    @property
    def adopters(self) -> list[Callable[[Ready], None]]:
        """Who is given each configuration that a reload has made ready; they must not fail."""

    async def refresh(self) -> None:
        """Have `snapshot` show what is so now. Never fails: who does not answer is shown as it was."""

    def snapshot(self) -> ProxySnapshot: ...

    async def clients_now(self) -> list[ClientView]:
        """A slice at a time: who comes or goes meanwhile may be in it or not."""

    async def sessions_now(self) -> list[SessionView]: ...

    def set_will(self, group: str, device: str, will: Will, by: Actor) -> None:
        """Raises LookupError, naming what does not exist."""
