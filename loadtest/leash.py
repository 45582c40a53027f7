"""Run the `guardian` command for as long as whoever started it lives: ``python -m loadtest.leash ARGUMENTS``.

Standard input is the leash: a pipe whose other end the starter holds and never writes to. When it closes, because the
starter ended in whatever way, this process gets a SIGTERM. So no program of a demo that was killed stays behind.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from importlib.metadata import entry_points


def _follow_the_leash() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_follow_the_leash, name="leash", daemon=True).start()
    # By its entry point: this package may not import that one.
    (command,) = entry_points(group="console_scripts", name="guardian")
    sys.argv[0] = "guardian"
    command.load()()
