"""The listener, as its clients see it: what they have in common, and what they tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from config.model import Framing, Limits

from .answers import Answers

if TYPE_CHECKING:
    from balancer.exchange import Exchange

    from .client import Client


@attrs.frozen(kw_only=True)
class ClientSettings:
    """What a listener's clients have in common."""

    framing: Framing
    limits: Limits
    answers: Answers
    longest: int  # bytes of a request that listener and devices can carry


class ClientOwner(Protocol):
    """The listener."""

    @property
    def draining(self) -> bool: ...

    def client_gone(self, client: Client) -> None: ...

    def client_fault(self, client: Client, exc: Exception) -> None:
        """A fault of ours came up for this client: it must be closed, and nobody else must suffer."""

    def would_block(self, client: Client, code: str) -> None:
        """`mode: detect` let a request pass."""

    def refused_request(self, client: Client, exchange: Exchange) -> None:
        """A request got an answer of the proxy's own."""

    def blocked(self, client: Client, code: str) -> None:
        """A rule keeps a request from every device."""

    def login_ended(self, client: Client, code: str, result: str) -> None:
        """A login or logout: ``result`` is `ok`, `refused`, `limited` or another word for how it ended."""
