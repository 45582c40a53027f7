"""Whom a connection to a device belongs to, where it is not shared by all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .device import Device
    from .exchange import Attempt
    from .upstream import Upstream


class Owner:
    """A `Pin` or a `Session`: only its own requests travel on its connections. The group tells it what happens there.

    ``roams`` says whether a request of it that a device lost may go to another device.
    """

    roams = False
    over = False  # nobody uses it any more: a connection that is opened for it is closed

    def opened(self, upstream: Upstream, now: float) -> None:
        """A connection that it asked for."""
        raise NotImplementedError

    def open_failed(self, device: Device, now: float) -> None:
        """A connection that it asked for could not be had."""
        raise NotImplementedError

    def takes(self, attempt: Attempt, answer: bytes, now: float) -> bool:
        """Whether this answer is for the owner, and the exchange goes on. Counts are brought up to date already."""
        raise NotImplementedError

    def freed(self, upstream: Upstream, now: float) -> None:
        """Something was answered on a connection of it."""
        raise NotImplementedError

    def withdraw(self, upstream: Upstream) -> None:
        """Send nothing more on a connection: it is gone."""

    def connection_lost(self, upstream: Upstream, attempts: list[Attempt], now: float) -> None:
        """A connection is gone, with these attempts on it. Those of an owner that roams are the group's to see to."""
        raise NotImplementedError
