"""The pinned clients of a group: each finds its device here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .exchange import Exchange
from .login import LoginRules
from .pin import Pin
from .scheduler import Scheduler

if TYPE_CHECKING:
    from config import model

    from .session import Session


class Pins:
    """Open a pin for a client, submit its requests, close it when the client leaves. Times are seconds of ``clock``."""

    def __init__(self, scheduler: Scheduler, rules: LoginRules, clock: Callable[[], float]) -> None:
        self.all: set[Pin] = set()
        self.rules = rules
        self.clock = clock
        self.may_open: Callable[[], bool] = lambda: True  # whether there is room for one more private connection
        self._scheduler = scheduler
        self._request_timeout = self._queue_timeout = 0.0

    def configure(self, settings: model.Group, rules: LoginRules) -> None:
        self.rules = rules
        self._request_timeout = settings.request_timeout
        self._queue_timeout = settings.queue.timeout

    def open(self, label: str, ended: Callable[[bool], None], now: float, session: Session | None = None) -> Pin | None:
        """Give a client a device of its own; None where no device can take it."""
        pin = Pin(self, label, ended, now + self._queue_timeout, session)
        if self.may_open() and self._find_device(pin):
            return pin
        pin.forget_logins()
        return None

    def submit(self, exchange: Exchange, pin: Pin, now: float) -> None:
        """On the pin's own connection, after what came before it."""
        exchange.deadline = now + self._request_timeout
        pin.submit(exchange, now)

    def close(self, pin: Pin) -> None:
        """The client has no more use for it: its connection is closed, never given to anybody else."""
        pin.over = True
        self.forget(pin)
        for exchange in pin.queue:
            exchange.abandon()
        pin.close()
        pin.forget_logins()

    def forget(self, pin: Pin) -> None:
        """It holds no place on its device any more."""
        self.all.discard(pin)
        if pin.device is not None:
            pin.device.pins.discard(pin)

    def open_failed(self, pin: Pin, now: float) -> None:
        """The device could not be connected for a pin: try another, as long as there is time."""
        if pin.over:
            return
        device = pin.device
        assert device is not None
        device.pins.discard(pin)
        pin.tried += (device,)
        if now >= pin.give_up_at or not self._find_device(pin):
            self.refuse(pin)

    def expire(self, now: float) -> None:
        """Answer what waited too long, and give up those that found no device in time."""
        for pin in tuple(self.all):
            pin.expire(now)
            if not pin.over and pin.upstream is None and now >= pin.give_up_at:
                self.refuse(pin)

    def refuse(self, pin: Pin) -> None:
        """No device could be connected for it in time."""
        self.forget(pin)
        pin.refused()

    def _find_device(self, pin: Pin) -> bool:
        device = self._scheduler.pick_to_keep(pin.tried)
        if device is None:
            return False
        pin.device = device
        self.all.add(pin)
        device.pins.add(pin)
        device.keeper.open_private(pin)
        return True
