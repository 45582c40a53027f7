"""A worker is given a number, a line and a board, and nothing that is for its supervisor only."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from guardian.workers.handing import VARIABLE, Handing, handed


def test_what_is_handed_arrives_and_nothing_else(tmp_path: Path) -> None:
    ours = {
        "HOME": "/root",
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "1",
        "LISTEN_FDS": "1",
        "GUARDIAN_HANDED_OVER": "{}",
        VARIABLE: "of who started us",
    }
    line, other = socket.socketpair()
    board = os.memfd_create("board")
    given = Handing(number=2, count=3, file=tmp_path / "guardian.yaml", line=line, board=board)
    assert given.descriptors == [line.fileno(), board]
    theirs = given.environment(ours)
    assert {*theirs} == {"HOME", VARIABLE}
    os.set_inheritable(board, True)
    line.detach()
    found = handed(theirs)
    assert VARIABLE not in theirs
    assert (found.number, found.count, found.file, found.board) == (2, 3, tmp_path / "guardian.yaml", board)
    assert not os.get_inheritable(board)
    found.line.close()
    other.close()
    os.close(board)


def test_nobody_else_starts_a_worker() -> None:
    with pytest.raises(LookupError):
        handed({})
