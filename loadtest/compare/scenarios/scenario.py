"""What a scenario is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from loadtest.compare.readings import Figure
from loadtest.compare.workshop import Workshop


@attrs.frozen(kw_only=True)
class Scenario:
    """One situation, in which all contenders are measured in turns."""

    name: str  # for --rows
    title: str
    note: str  # what runs, and what a reader must know
    figures: Sequence[Figure]
    run: Callable[[Workshop], None]  # raises NotInstalledError, ProgramError, LoadError
