"""`guardian demo`: proxy, emulated devices and real traffic on this machine, and a failover while it runs."""

from __future__ import annotations

from .command import demo

__all__ = ["demo"]
