"""What an operator's tools may see of a running proxy, and do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from balancer.snapshot import ProxySnapshot, Will
    from config.model import Config

    from .completions import Completions
    from .connected import ClientView, SessionView
    from .events import Actor, Events
    from .lessons import Lessons
    from .ready import Ready
    from .reloading import Reloading


class Operable(Protocol):
    """Called on the loop; never blocks."""

    @property
    def events(self) -> Events: ...

    @property
    def lessons(self) -> Lessons: ...

    @property
    def completions(self) -> Completions: ...

    @property
    def config(self) -> Config: ...

    @property
    def reloading(self) -> Reloading | None:
        """None where it was not started from a file."""

    @property
    def adopters(self) -> list[Callable[[Ready], None]]:
        """Who is given each configuration that a reload has made ready; they must not fail."""

    def snapshot(self) -> ProxySnapshot: ...

    async def clients_now(self) -> list[ClientView]:
        """A slice at a time: who comes or goes meanwhile may be in it or not."""

    async def sessions_now(self) -> list[SessionView]: ...

    def set_will(self, group: str, device: str, will: Will, by: Actor) -> None:
        """Raises LookupError, naming what does not exist."""
