"""Being there is told truly: a process whose lock did not come to be would be overlooked."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from guardian import turns
from guardian.turns import Turns


def opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT)


def test_who_comes_while_another_asks_whether_it_is_alone_is_seen_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    one = Turns(opened(path))
    asking = opened(path)
    one.close()
    assert turns._lock(asking, turns._PRESENT, fcntl.F_WRLCK)

    def end() -> None:
        time.sleep(0.02)
        os.close(asking)

    ending = threading.Thread(target=end)
    ending.start()
    two, three = Turns(opened(path)), Turns(opened(path))
    ending.join()
    assert not two.alone
    assert not three.alone
    three.close()
    assert two.alone
    two.close()


def test_who_cannot_say_that_it_is_there_does_not_begin(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    asking, ours = opened(path), opened(path)
    assert turns._lock(asking, turns._PRESENT, fcntl.F_WRLCK)
    with pytest.raises(OSError, match="held by another process"):
        Turns(ours)
    os.close(asking)
    os.close(ours)
