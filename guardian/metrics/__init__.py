"""Prometheus metrics, made from a snapshot at each scrape: nothing is counted here.

Names, types and labels are a promise to dashboards and alerts; `docs/operations.md` lists them. Every label has a
bounded set of values: a command outside the catalogue is already `other` in the snapshot.
"""

from .rendering import content_type, render

__all__ = ["content_type", "render"]
