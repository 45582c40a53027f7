"""What all tests share: examples have no deadline each, since a busy machine is no fault of the code."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("guardian", deadline=None)
settings.load_profile("guardian")
