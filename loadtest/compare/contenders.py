"""Who is compared: no proxy at all, HAProxy, and ours."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from .processes import Program


class NotInstalledError(Exception):
    """A program that is compared is not on this machine; the text says how to get it."""


@attrs.frozen(kw_only=True)
class Contender:
    """Something that takes the clients' connections."""

    name: str
    addresses: Sequence[str]  # clients connect to them in turn
    program: Program | None  # None: clients reach the devices themselves


def direct(devices: Sequence[str]) -> Contender:
    """No proxy: the least latency and the most throughput that this load and these devices allow."""
    return Contender(name="direct", addresses=devices, program=None)
