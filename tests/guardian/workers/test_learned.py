"""What several workers have learned is what one process would have."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from guardian.learned import report
from guardian.learning import PipelineSeen, Who
from guardian.workers.learned import gathered, learned
from guardian.workers.messages import packed_learned, unpacked_learned
from tests.support.traffic import APP, NOBODY, VAULT, Watched, failed, ok

LOGIN = ok("RKLG", b"DAuser;CHpassword;", b"ANY;")
EXCHANGES = st.sampled_from(
    [LOGIN, ok("ECHO"), failed("RKEY"), ok("RKEY"), ok("ZZZ9"), ok("RSAS", b"RG4;RFAB12;", b"RHABCDEF;BBY;")]
)
CONNECTIONS = st.tuples(
    st.sampled_from([VAULT, APP, NOBODY]), st.lists(EXCHANGES, min_size=1, max_size=5), st.booleans()
)


def in_order(group: str, learning: Any) -> dict[str, Any]:
    """The report, without the order in which things were seen first."""
    found: dict[str, Any] = dict(report(group, learning))
    found["clients"] = sorted(found["clients"], key=repr)
    for client in found["clients"]:
        client["codes"] = sorted(client["codes"], key=lambda code: code["code"])
    for login in found["logins"]:
        login["statuses"] = sorted(login["statuses"], key=lambda status: (status["tag"], status["letter"]))
    found["logins"] = sorted(found["logins"], key=lambda login: login["code"])
    found["clients"] = sorted(found["clients"], key=lambda client: str(client["name"]))
    found["proposals"] = sorted(found["proposals"], key=repr)
    del found["yaml"]
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), CONNECTIONS), max_size=8))
def test_two_that_saw_half_each_know_what_one_that_saw_all_does(happened: list[tuple[int, Any]]) -> None:
    one, workers = Watched(), [Watched(), Watched(), Watched()]
    for number, (who, exchanges, from_start) in happened:
        one.connection(who, *exchanges, from_start=from_start)
        workers[number].connection(who, *exchanges, from_start=from_start)
    parts = [
        part for worker in workers for part in unpacked_learned(packed_learned([learned("payments", worker.learning)]))
    ]
    whole = gathered(parts)["payments"]
    assert in_order("payments", whole) == in_order("payments", one.learning)


def test_of_pipelines_the_looks_are_added_and_the_depths_are_the_highest() -> None:
    first, second = Watched(), Watched()
    first.learning.pipeline = PipelineSeen(allowed=4, looks=10, several=3, most=2, misfits=1)
    second.learning.pipeline = PipelineSeen(allowed=4, looks=5, several=1, most=4, misfits=0)
    whole = gathered([learned("g", first.learning), learned("g", second.learning)])["g"].pipeline
    assert (whole.allowed, whole.looks, whole.several, whole.most, whole.misfits) == (4, 15, 4, 4, 1)


def test_what_there_was_no_room_for_is_added() -> None:
    first, second = Watched(), Watched()
    for watched in (first, second):
        watched.learning.room.left = 0
        watched.learning.begin("c", Who("vault", "sha256:1", None), from_start=True)
    whole = gathered([learned("g", first.learning), learned("g", second.learning)])["g"]
    assert whole.room.dropped == {"clients": 2}
