"""What a client that asks for nothing keeps of ours: there may be ten thousand of them."""

from __future__ import annotations

import gc
import tracemalloc

from bench.cases import ECHO
from bench.rig import Rig

_MOST = 3900  # bytes, interpreted: the compiled path takes half of it, and an empty deque would be 760 of them
_CLIENTS = 100


def test_a_quiet_client_keeps_little() -> None:
    rig = Rig(clients=2, pipeline=1, connections=2)
    rig.ask(ECHO, times=2)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        rig.welcome(_CLIENTS)
        rig.ask(ECHO, times=2)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    rig.close()
    assert (after - before) / _CLIENTS < _MOST
