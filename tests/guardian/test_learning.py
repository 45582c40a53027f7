"""What is learned from traffic; that nothing of a value is; that nothing grows without end."""

from __future__ import annotations

import gc
import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.snapshot import Outcome
from guardian.learned import report
from guardian.learning import CLIENTS, CODES, CONNECTIONS, NEIGHBOURS, NOT_LOOKED_AT, TAGS, Learning, Room, Who
from tests.support.traffic import APP, FAILED, NOBODY, VAULT, Watched, exchange, failed, ok

LOGIN = ok("RKLG", b"DAuser;CHpassword;", b"ANY;")


def code(watched: Watched, name: str, who: Who = VAULT) -> Any:
    return watched.learning.clients[who].codes[name.encode()]


def test_codes_are_counted_by_client_and_outcome() -> None:
    watched = Watched()
    watched.connection(VAULT, ok("ECHO"), ok("ECHO"), failed("ECHO"), (b"[AOGPKD;]", None))
    watched.connection(APP, ok("ECHO"))
    assert code(watched, "ECHO").outcomes == {"ok": 2, "device_error": 1}
    assert code(watched, "GPKD").outcomes == {"blocked": 1}
    assert code(watched, "ECHO", APP).outcomes == {"ok": 1}
    assert watched.learning.requests == 5


def test_what_the_catalogue_does_not_know_is_named() -> None:
    watched = Watched().connection(VAULT, ok("ECHO"), ok("ZZZ9"))
    assert (code(watched, "ECHO").known, code(watched, "ECHO").effect) == (True, "read")
    assert (code(watched, "ZZZ9").known, code(watched, "ZZZ9").effect) == (False, "unknown")
    assert report("g", watched.learning)["unknown"] == ["ZZZ9"]


def test_where_in_a_connections_life_a_command_comes() -> None:
    watched = Watched()
    for _ in range(2):
        watched.connection(VAULT, LOGIN, *[ok("ECHO")] * 4, ok("RAND"))
    assert (code(watched, "RKLG").first, code(watched, "ECHO").first) == (2, 0)
    assert code(watched, "ECHO").positions == {"2": 2, "3": 2, "4-10": 4}
    assert code(watched, "ECHO").previous == {"RKLG": 2, "ECHO": 6}
    [client] = report("g", watched.learning)["clients"]  # type: ignore[misc]
    [login] = [found for found in client["codes"] if found["code"] == "RKLG"]  # type: ignore[index]
    assert (login["before"], login["after"]) == ({"ECHO": 2}, {})


def test_the_place_is_not_guessed_on_a_connection_that_was_there_before() -> None:
    watched = Watched().connection(VAULT, ok("ECHO"), ok("RAND"), from_start=False)
    assert (code(watched, "ECHO").first, code(watched, "ECHO").positions) == (0, {})
    assert code(watched, "RAND").previous == {"ECHO": 1}
    assert (watched.learning.clients[VAULT].connections, watched.learning.clients[VAULT].from_start) == (1, 0)


def test_tags_with_the_kinds_of_their_values() -> None:
    watched = Watched().connection(VAULT, ok("RSAS", b"RG4;RFAB12;RF00;", b"RHABCDEF;BBY;"), ok("RSAS", b"RG4;"))
    assert code(watched, "RSAS").request_tags == {"RG": {"decimal 1": 2}, "RF": {"hex 2-8": 1, "decimal 2-8": 1}}
    assert code(watched, "RSAS").answer_tags == {"RH": {"hex 2-8": 1}, "BB": {"letter": 1}}


@pytest.mark.parametrize("name", ["RKLG", "ZZZ9"])
def test_of_what_may_be_a_login_not_even_the_kinds_are_looked_at(name: str) -> None:
    watched = Watched().connection(VAULT, ok(name, b"DAuser;CH1234;"))
    assert code(watched, name).request_tags == {"DA": {NOT_LOOKED_AT: 1}, "CH": {NOT_LOOKED_AT: 1}}


@pytest.mark.parametrize(
    ("answer", "repeated"), [(b"AGx;", 1), (b"BBY;AGx;", 1), (b"", 0), (b"AGy;", 0), (b"AGxx;", 0), (b"BBx;", 0)]
)
def test_whether_answers_repeat_their_context(answer: bytes, repeated: int) -> None:
    watched = Watched().connection(VAULT, ok("ECHO", b"AGx;", answer), ok("ECHO"))
    assert (code(watched, "ECHO").context_asked, code(watched, "ECHO").context_repeated) == (1, repeated)


def test_an_answer_of_the_proxys_own_says_nothing_of_a_context() -> None:
    watched = Watched().connection(VAULT, (b"[AOECHO;AGx;]", None))
    assert code(watched, "ECHO").context_asked == 0


@pytest.mark.parametrize(
    ("answer", "numbers", "tags"),
    [
        (FAILED, {"34": 1}, {"AO": 1}),
        (b"[AOERRO;AM34;]", {"34": 1}, {"??": 1}),
        (b"[AOERRO;AMsecret;ANsecret;]", {"no number": 1}, {"??": 1}),
        (b"[AOERRO;AM123456;ANBD4;]", {"no number": 1}, {"??": 1}),
        (b"[AOERRO;]", {"no number": 1}, {"??": 1}),
    ],
)
def test_numbers_of_errors_and_the_tag_they_name(answer: bytes, numbers: dict[str, int], tags: dict[str, int]) -> None:
    watched = Watched().connection(VAULT, (b"[AOGPKM;]", answer))
    assert (code(watched, "GPKM").error_numbers, code(watched, "GPKM").error_tags) == (numbers, tags)
    assert code(watched, "GPKM").answer_tags == {}


class TestLogins:
    def test_a_command_after_which_others_succeed(self) -> None:
        watched = Watched().connection(VAULT, failed("GPKM"), failed("RSAS"), LOGIN, ok("GPKM"), ok("RSAS"), ok("GPKM"))
        login = watched.learning.logins[b"RKLG"]
        assert login.unlocked == {"GPKM": 1, "RSAS": 1}
        assert login.unlocking == {(b"AN", b"Y"): 2}
        assert login.after_ok == {(b"AN", b"Y"): 1}  # what came directly after it

    def test_a_refused_login_gets_no_credit(self) -> None:
        refused = ok("RKLG", b"CHx;", b"ANN;")
        watched = Watched().connection(VAULT, failed("GPKM"), refused, failed("GPKM"), LOGIN, ok("GPKM"))
        login = watched.learning.logins[b"RKLG"]
        assert login.unlocking == {(b"AN", b"Y"): 1}
        assert (login.after_error, login.after_ok) == ({(b"AN", b"N"): 1}, {(b"AN", b"Y"): 1})

    def test_an_unknown_command_may_be_one(self) -> None:
        watched = Watched().connection(VAULT, ok("ZZZ9", b"CHx;", b"QQS;"), ok("GPKM"))
        login = watched.learning.logins[b"ZZZ9"]
        assert (login.known, login.first, login.statuses) == (False, 1, {(b"QQ", b"S"): 1})

    def test_one_answered_with_an_error_is_none(self) -> None:
        watched = Watched().connection(VAULT, failed("GPKM"), failed("RKLG"), ok("GPKM"))
        login = watched.learning.logins[b"RKLG"]
        assert (login.answered, login.unlocked) == (0, {})

    def test_letters_are_kept_of_answers_to_logins_only_and_not_if_the_client_sent_them(self) -> None:
        watched = Watched().connection(VAULT, ok("ECHO", b"", b"AAQ;"), ok("RKLG", b"AGK;", b"AGK;ANY;BBlong;"))
        assert watched.learning.logins.keys() == {b"RKLG"}
        assert watched.learning.logins[b"RKLG"].statuses == {(b"AN", b"Y"): 1}

    def test_two_logins_at_the_start(self) -> None:
        watched = Watched().connection(VAULT, LOGIN, LOGIN, ok("GPKM")).connection(VAULT, ok("ECHO"), LOGIN)
        assert (watched.learning.logins[b"RKLG"].first, watched.learning.logins[b"RKLG"].repeated) == (1, 1)


# --- nothing of a value -----------------------------------------------------------------------------------------


def reachable(start: object) -> Iterator[object]:
    """Everything that an object keeps alive, types and modules left out."""
    seen: set[int] = set()
    stack: list[object] = [start]
    while stack:
        found = stack.pop()
        if id(found) in seen or isinstance(found, type | type(sys) | type(exchange)):
            continue
        seen.add(id(found))
        yield found
        stack.extend(gc.get_referents(found))


def texts(start: object) -> str:
    return "\n".join(
        found.decode("latin-1") if isinstance(found, bytes) else str(found)
        for found in reachable(start)
        if isinstance(found, bytes | str | int | bytearray)
    )


_fields = st.lists(st.sampled_from(["AG", "AM", "AN", "BB", "CH", "DA", "BD", "RN", "XX", "12", "JW"]), max_size=6)
_codes = st.sampled_from(["ECHO", "RKLG", "ZZZ9", "GPKM", "ERRO", "RSAS"])


@given(st.lists(st.tuples(_codes, _fields, _codes, _fields, st.sampled_from(Outcome)), max_size=12))
def test_no_value_survives_in_report_or_memory(
    talk: list[tuple[str, list[str], str, list[str], Outcome]],
) -> None:
    numbers = itertools.count(10_000_000)
    canaries: list[str] = []

    def message(code: str, tags: list[str]) -> bytes:
        parts = [f"AO{code}"]
        for tag in dict.fromkeys(tags):
            canaries.append(f"{next(numbers)}" if tag in ("AM", "BD") else f"Canary{next(numbers)}")
            parts.append(tag + canaries[-1])
        return ("[" + ";".join(parts) + ";]").encode()

    learning = Learning()
    life = learning.begin("c", VAULT, from_start=True)
    assert life is not None
    for code, asked, answered, given_back, outcome in talk:
        own = outcome not in (Outcome.OK, Outcome.DEVICE_ERROR)
        made = exchange(message(code, asked), None if own else message(answered, given_back), outcome)
        learning.feed(life, made)
        del made
    shown = json.dumps(report("g", learning))
    kept = texts((learning, life))
    for canary in canaries:
        assert canary not in shown
        assert canary not in kept


def test_the_search_for_values_would_find_one() -> None:
    learning = Learning()
    learning.begin("c", Who(None, None, "Canary1"), from_start=True)
    assert "Canary1" in texts(learning)
    learning.requests = 123456789
    assert "123456789" in texts(learning)


# --- bounds -----------------------------------------------------------------------------------------------------


def unknown_codes(count: int) -> Iterator[str]:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return ("Z" + "".join(rest) for rest in itertools.islice(itertools.product(letters, repeat=3), count))


def test_clients_are_limited() -> None:
    watched = Watched()
    for number in range(CLIENTS + 3):
        watched.connection(Who(None, None, f"10.0.0.{number}"), ok("ECHO"))
    assert len(watched.learning.clients) == CLIENTS
    assert watched.learning.room.dropped == {"clients": 3}


def test_codes_and_logins_are_limited() -> None:
    watched = Watched().connection(VAULT, *(ok(name) for name in unknown_codes(CODES + 2)))
    assert len(watched.learning.clients[VAULT].codes) == len(watched.learning.logins) == CODES
    assert watched.learning.room.dropped["codes"] == watched.learning.room.dropped["logins"] == 2


def test_tags_are_limited() -> None:
    tags = [f"{first}{second}" for first in "ABCD" for second in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    talk = [ok("ECHO", f"{tag}x;".encode()) for tag in tags if tag not in ("AO",)]
    watched = Watched().connection(VAULT, *talk)
    assert len(code(watched, "ECHO").request_tags) == TAGS
    assert watched.learning.room.dropped["tags"] == len(talk) - TAGS


def test_neighbours_are_limited() -> None:
    talk = itertools.chain.from_iterable((ok(name), ok("ECHO")) for name in unknown_codes(NEIGHBOURS + 5))
    watched = Watched().connection(VAULT, *talk)
    assert len(code(watched, "ECHO").previous) == NEIGHBOURS
    assert watched.learning.room.dropped == {"neighbours": 5}


def test_connections_are_limited_and_the_oldest_goes() -> None:
    learning = Learning()
    for number in range(CONNECTIONS + 1):
        learning.begin(number, NOBODY, from_start=True)
    assert learning.life(0) is None
    assert learning.life(1) is not None
    assert learning.clients[NOBODY].connections == CONNECTIONS + 1


def test_everything_together_is_limited() -> None:
    watched = Watched(Room(50))
    for who in (VAULT, APP, NOBODY):
        watched.connection(who, *(ok(name, b"AAx;BB1;", b"CCY;") for name in unknown_codes(40)))
    assert watched.learning.room.left == 0
    assert watched.learning.room.dropped
    assert watched.learning.requests == 40  # the other two clients found no room
    assert report("g", watched.learning)["dropped"]


def test_one_that_is_no_message_is_counted_only() -> None:
    watched = Watched().connection(VAULT, ok("ECHO"))
    life = watched.learning.life(1)
    assert life is not None
    refused = exchange(b"[AOECHO;]", None)
    refused.code = b""
    watched.learning.feed(life, refused)
    assert watched.learning.clients[VAULT].malformed == 1
    assert code(watched, "ECHO").requests == 1
