"""May a request that failed on one device go to another? Why so: docs/adr/0003-retries.md. Pure."""

from __future__ import annotations

from config.model import Retries

from .exchange import Exchange


class RetryBudget:
    """Resends are a share of the requests, with a reserve; so a failing group is not drowned in its own retries."""

    def __init__(self, settings: Retries) -> None:
        self._settings: Retries | None = None
        self.refused = 0  # resends for which nothing was left
        self.configure(settings)

    def configure(self, settings: Retries) -> None:
        """Take new settings; where they are the old ones, what was spent stays spent."""
        if settings == self._settings:
            return
        self._settings = settings
        self._earned = settings.budget
        self._most = settings.reserve + 1.0 + settings.budget  # beside the reserve, a share must add up to one resend
        self._balance = float(settings.reserve)

    @property
    def left(self) -> float:
        """Resends that may be made now."""
        return self._balance

    def earn(self, requests: int = 1) -> None:
        """So many requests came."""
        self._balance = min(self._balance + requests * self._earned, self._most)

    def spend(self) -> bool:
        """Take one resend; False where nothing is left."""
        if self._balance < 1.0:
            self.refused += 1
            return False
        self._balance -= 1.0
        return True


def may_resend(exchange: Exchange, settings: Retries, budget: RetryBudget, *, written: bool) -> bool:
    """Decide for an exchange that has just lost an attempt, and take from the budget if so.

    What no device can have seen is always sent again. What one may have seen is sent again only when acting twice
    changes nothing. What belongs to one device, or to a client that is pinned to one, is never sent elsewhere.
    """
    if exchange.bound or exchange.is_ping or (exchange.owner is not None and not exchange.owner.roams):
        return False
    if not written:
        return True
    return exchange.command.repeatable and exchange.resent < settings.attempts and budget.spend()
