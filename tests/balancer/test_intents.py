from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer import intents
from balancer.intents import OUTCOMES, History, Intent, JournalDamaged, Mark

SALT = bytes(range(32))
HEADER = intents.header_line(SALT)


def intent(number: int = 1, *devices: str) -> Intent:
    devices = devices or ("a", "b", "c")
    return Intent(number=number, code="GPKD", digest="00" * 32, slot="4", devices=devices, at=1790000000.0)


def mark(outcome: str, number: int = 1) -> Mark:
    return Mark(number=number, code="GPKD", outcome=outcome)


def behind(*lines: bytes) -> set[str]:
    """Who is in doubt for a proxy that starts with these lines."""
    history = intents.read([HEADER, *lines])
    assert history is not None
    history.recover()
    return set(history.behind)


def test_nothing_says_nothing() -> None:
    assert intents.read([]) is None


def test_an_intent_without_an_end_puts_everyone_in_doubt() -> None:
    assert behind(intents.intent_line(intent())) == {"a", "b", "c"}


def test_who_is_known_to_have_it_is_not_in_doubt() -> None:
    begun = intents.intent_line(intent())
    assert behind(begun, intents.mark_line("a", mark("done"))) == {"b", "c"}


def test_an_end_settles_it_for_all_that_were_not_told_of() -> None:
    begun, end = intents.intent_line(intent()), intents.end_line(1, "ok")
    assert behind(begun, end) == set()
    assert behind(begun, intents.mark_line("b", mark("refused")), end) == {"b"}


@pytest.mark.parametrize("outcome", [name for name in OUTCOMES if name != "done"])
def test_every_other_outcome_leaves_it_behind(outcome: str) -> None:
    assert behind(intents.mark_line("b", mark(outcome))) == {"b"}
    assert mark(outcome).reason.startswith("key table behind: it ")
    assert mark(outcome).reason.endswith("write 1 (GPKD)")


def test_a_device_shown_equal_is_behind_no_more_also_not_by_a_write_that_never_ended() -> None:
    begun, equal = intents.intent_line(intent()), intents.equal_line("b", 1)
    assert behind(begun, equal) == {"a", "c"}
    assert behind(intents.mark_line("b", mark("missed")), equal) == set()
    assert behind(intents.mark_line("b", mark("missed")), equal, intents.mark_line("b", mark("differs", 2))) == {"b"}


def test_the_digest_needs_the_salt() -> None:
    assert History(SALT).digest(b"[AOGPKD;BD4;]") != History(bytes(32)).digest(b"[AOGPKD;BD4;]")
    assert History(SALT).digest(b"[AOGPKD;BD4;]") == History(SALT).digest(b"[AOGPKD;BD4;]")


@pytest.mark.parametrize(
    "line",
    [
        b"", b"x", b"{}", b"[]", b"1", b"null", b'{"write":"x"}', b'{"write":1}', b'{"device":"a"}', b'{"end":null}',
        b'{"device":"a","write":1,"code":"GPKD","outcome":"eaten"}', b"[" * 100_000, b"\0" * 9, b'{"nothing":1}',
    ],
)  # fmt: skip
def test_what_is_no_record_is_damage_and_names_its_line(line: bytes) -> None:
    with pytest.raises(JournalDamaged, match="line 2"):
        intents.read([HEADER, line])


@pytest.mark.parametrize("line", [b"{}", b'{"journal":2,"salt":"00"}', b'{"journal":1}', b'{"journal":1,"salt":"x"}'])
def test_another_beginning_is_damage(line: bytes) -> None:
    with pytest.raises(JournalDamaged, match="line 1"):
        intents.read([line])


records = st.lists(
    st.one_of(
        st.builds(lambda n: ("begin", n), st.integers(1, 4)),
        st.tuples(st.just("tell"), st.integers(1, 4), st.sampled_from("abc"), st.sampled_from(list(OUTCOMES))),
        st.builds(lambda n: ("end", n), st.integers(1, 4)),
        st.builds(lambda d: ("equal", d), st.sampled_from("abc")),
    ),
    max_size=20,
)  # fmt: skip


@given(records)
def test_the_shortest_journal_says_the_same(steps: list[tuple[object, ...]]) -> None:
    lines = [HEADER]
    for step in steps:
        if step[0] == "begin":
            lines.append(intents.intent_line(intent(int(str(step[1])))))
        elif step[0] == "tell":
            lines.append(intents.mark_line(str(step[2]), mark(str(step[3]), int(str(step[1])))))
        elif step[0] == "end":
            lines.append(intents.end_line(int(str(step[1])), "ok"))
        else:
            lines.append(intents.equal_line(str(step[1]), 4))
    whole = intents.read(lines)
    assert whole is not None
    short = intents.read(whole.lines())
    assert short is not None
    assert short.last == whole.last
    assert short.salt == SALT
    whole.recover()
    short.recover()
    assert set(short.behind) == set(whole.behind)


def test_every_line_is_one_line_of_json() -> None:
    for line in (
        HEADER,
        intents.intent_line(intent()),
        intents.mark_line("a", mark("done")),
        intents.end_line(1, "ok"),
    ):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        json.loads(line)


def test_a_mark_of_a_write_that_was_begun_elsewhere_counts_for_the_numbers() -> None:
    history = intents.read([HEADER, intents.mark_line("b", mark("missed", 17))])
    assert history is not None
    assert history.last == 17
    history.equal("b", history.last)
    assert not history.behind
