"""Prometheus metrics, made from a snapshot at each scrape: nothing is counted here.

Names, types and labels are a promise to dashboards and alerts; `docs/operations.md` lists them. Every label has a
bounded set of values: a command outside the catalogue is already `other` in the snapshot.
"""

from .process import own_figures
from .rendering import Text, compressed, content_type, render

__all__ = ["Text", "compressed", "content_type", "own_figures", "render"]
