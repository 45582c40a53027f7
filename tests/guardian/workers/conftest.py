"""What several workers share, for tests that are all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from guardian.workers.board import Board
from tests.support.boards import three_boards


@pytest.fixture
def boards() -> Iterator[list[Board]]:
    """One for each of three workers, as three processes have it."""
    made = three_boards()
    yield made
    for board in made:
        board.close()
