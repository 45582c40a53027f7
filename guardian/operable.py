"""What an operator's tools may see of a running proxy, and do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from balancer.snapshot import ProxySnapshot, Will

    from .events import Actor, Events
    from .lessons import Lessons


class Operable(Protocol):
    """Called on the loop; never blocks."""

    @property
    def events(self) -> Events: ...

    @property
    def lessons(self) -> Lessons: ...

    def snapshot(self) -> ProxySnapshot: ...

    def set_will(self, group: str, device: str, will: Will, by: Actor) -> None:
        """Raises LookupError, naming what does not exist."""
