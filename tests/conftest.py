"""What all tests share: examples have no deadline each, since a busy machine is no fault of the code."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

# `tests.support` must be found, even where PYTHONSAFEPATH keeps this folder out; last, so that what is installed is
# then what is tested.
sys.path.append(str(Path(__file__).parents[1]))

settings.register_profile("guardian", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("guardian")
