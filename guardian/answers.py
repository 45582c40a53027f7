"""What the proxy answers itself: ``[AOERRO;AM<number>;ANAO;BB<TEXT>;AG<echo>;]``, ``AG`` where the request had it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from balancer.snapshot import Outcome
from config.model import ErrorText, Refusal

_REFUSALS: Final[Mapping[Outcome, Refusal]] = {
    Outcome.BLOCKED: Refusal.BLOCKED,
    Outcome.NO_DEVICE: Refusal.NO_DEVICE,
    Outcome.UNKNOWN: Refusal.OUTCOME_UNKNOWN,
    Outcome.BUSY: Refusal.BUSY,
    Outcome.TIMEOUT: Refusal.TIMED_OUT,
    Outcome.MALFORMED: Refusal.MALFORMED,
    Outcome.SHUTDOWN: Refusal.SHUTTING_DOWN,
    Outcome.LOGIN_LOST: Refusal.LOGIN_LOST,
}
CLOSES: Final = frozenset({Outcome.MALFORMED, Outcome.SHUTDOWN, Outcome.LOGIN_LOST})  # the connection, after the answer


class Answers:
    """The answers as the settings word them."""

    def __init__(self, errors: Mapping[Refusal, ErrorText]) -> None:
        self._heads = {
            refusal: f"[AOERRO;AM{error.number};ANAO;BB{error.text};".encode("ascii")
            for refusal, error in errors.items()
        }

    def to(self, outcome: Outcome, context: bytes | None) -> bytes:
        """For an exchange that ended without a device's answer; ``context``: the request's ``AG`` text."""
        return self.refusal(_REFUSALS[outcome], context)

    def refusal(self, refusal: Refusal, context: bytes | None) -> bytes:
        head = self._heads[refusal]
        return head + b"]" if context is None else head + b"AG" + context + b";]"
