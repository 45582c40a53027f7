"""The port that operators and Prometheus use."""

from __future__ import annotations

from pathlib import Path

import attrs

from .tls import AdminTls
from .values import Bind, Seconds


@attrs.frozen(kw_only=True)
class Admin:
    bind: Bind = Bind(host="127.0.0.1", port=9190)
    """the address; a change needs a restart"""
    token_file: Path | None = None
    """a file with the token that requests must carry"""
    tls: AdminTls | None = None
    """HTTPS"""
    buckets: tuple[Seconds, ...] = (
        0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    )  # fmt: skip
    """the bounds of all duration histograms, rising, 50 at most; the alerts name `250ms`; a change needs a restart"""
