"""The workers' board, as several processes have it."""

from __future__ import annotations

import os

from guardian.workers.board import Board, make_board


def three_boards() -> list[Board]:
    """One for each of three workers; the caller closes them."""
    first = Board(make_board(3))
    return [first, *(Board(os.dup(first.descriptor)) for _ in range(2))]
