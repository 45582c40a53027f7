"""What must hold of every run, whatever was killed in it. Pure: a history comes in, violations come out.

Each checker looks for one kind of violation and names it; `check` runs them all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from typing import Final

import attrs

from loadtest.simhsm.refusal import LOGIN_REQUIRED

from .histories import OUTCOME_UNKNOWN, OWN, Asked, Does, History, Seen, mark_of
from .slots import right_answers, slot_lives


@attrs.frozen
class Violation:
    checker: str
    text: str


Checker = Callable[[History], Iterator[str]]


def check(history: History) -> list[Violation]:
    return [Violation(checker.__name__, text) for checker in CHECKERS for text in checker(history)]


def answers_belong(history: History) -> Iterator[str]:
    """An answer repeats the request's mark, and is what a device gave for it, or the proxy's own."""
    for asked in history.asked:
        if asked.answer is None:
            continue
        if asked.mark is not None and mark_of(asked.answer) != asked.mark:
            yield f"{_named(asked)} was answered {asked.answer!r}"
        elif asked.error not in OWN and all(asked.answer != seen.record.answer for seen in history.of(asked)):
            yield f"{_named(asked)} was answered {asked.answer!r}, which no device has given for it"


def answers_in_order(history: History) -> Iterator[str]:
    """On each connection answers come in the order of the requests, without a gap."""
    for life in _lives(history).values():
        for earlier, later in pairwise(life):
            if later.answered is not None and (earlier.answered is None or earlier.answered > later.answered):
                yield f"{_named(later)} was answered before {_named(earlier)}"


def nobody_waits_for_ever(history: History) -> Iterator[str]:
    """Every request is answered, or its connection ends."""
    for asked in history.asked:
        if asked.waited:
            yield f"{_named(asked)} was never answered"


def nobody_borrows_a_login(history: History) -> Iterator[str]:
    """A request runs anonymously or as its own client's login; what no client asked runs anonymously."""
    for seen in history.everything_seen():
        users, mark = seen.record.users, mark_of(seen.record.request)
        if users is None:
            continue
        asked = history.by_mark.get(mark) if mark is not None else None
        if asked is not None and asked.request == seen.record.request:
            if asked.user is None:
                yield f"{_named(asked)} ran as {users} on {_place(seen)}, and its client had not logged in"
            elif users != (asked.user,):
                yield f"{_named(asked)} of {asked.user} ran as {users} on {_place(seen)}"
        elif seen.record.login is None:
            yield f"{seen.record.code}, which no client asked, ran as {users} on {_place(seen)}"


def connections_have_one_identity(history: History) -> Iterator[str]:
    """A device connection that is logged in serves clients of one certificate, whatever their passwords."""
    of_login = defaultdict(set)
    for asked in history.asked:
        if asked.does is Does.LOGIN:
            of_login[asked.request].add(asked.identity)
    found: dict[tuple[str, int], set[str]] = defaultdict(set)
    for seen in history.everything_seen():
        place = (seen.device, seen.record.connection)
        if seen.record.login is not None:
            senders = of_login.get(seen.record.request)
            if senders is None:
                yield f"a login that no client has sent came to {_place(seen)}"
            elif len(senders) == 1 and seen.executed:
                found[place] |= senders
        elif seen.record.users is not None and (asker := _asked(history, seen)) is not None:
            found[place].add(asker.identity)
    for (device, connection), identities in found.items():
        if len(identities) > 1:
            yield f"{device}, connection {connection} served {sorted(identities)} logged in"


def refused_reached_nobody(history: History) -> Iterator[str]:
    """901, 902, 904, 908: no device saw a byte of it."""
    for asked in history.asked:
        if asked.refused and asked.mark is not None and (seen := history.of(asked)):
            yield f"{_named(asked)} was refused with {asked.error} and came to {_place(seen[0])}"


def writes_run_once(history: History) -> Iterator[str]:
    """No device runs a write twice, whatever its client heard."""
    for asked in history.asked:
        if asked.does is Does.WRITE:
            runs = _runs(history, asked)
            for device in sorted({seen.device for seen in runs}):
                if (times := sum(seen.device == device for seen in runs)) > 1:
                    yield f"{_named(asked)} ran {times} times on {device}"


def doubtful_ran_once(history: History) -> Iterator[str]:
    """903: it ran once at most; where writes are replicated, once at most on each device."""
    if history.promises.writes:
        return  # `writes_run_once` says that
    for asked in history.asked:
        if asked.does is Does.WRITE and asked.error == OUTCOME_UNKNOWN and len(runs := _runs(history, asked)) > 1:
            yield f"{_named(asked)} was answered 903 and ran on {', '.join(_place(seen) for seen in runs)}"


def successes_reach_the_quorum(history: History) -> Iterator[str]:
    """A write that its client knows as done ran on enough devices before, with the same answer everywhere."""
    for asked in history.asked:
        if asked.does is not Does.WRITE or not asked.good or asked.answered is None:
            continue
        runs = _runs(history, asked)
        if not history.promises.writes:
            if len(runs) != 1:
                yield f"{_named(asked)} succeeded and ran {len(runs)} times"
            continue
        have = {seen.device for seen in runs if seen.ran <= asked.answered}
        if len(have) < history.promises.quorum:
            yield f"{_named(asked)} succeeded with {sorted(have)}, fewer than {history.promises.quorum}"
        if len({seen.record.answer for seen in runs}) > 1:
            yield f"{_named(asked)} was answered differently by {sorted(seen.device for seen in runs)}"


def writes_in_order(history: History) -> Iterator[str]:
    """A connection's writes run in the order they were sent; and all devices run what they share in one order.

    Without replication anonymous writes that were sent at once may run side by side.
    """
    if not history.promises.writes:
        return
    order: dict[str, list[tuple[float, Asked]]] = defaultdict(list)
    for asked in history.asked:
        if asked.does is Does.WRITE:
            for seen in _runs(history, asked):
                order[seen.device].append((seen.ran, asked))
    ran = {device: [asked for _, asked in sorted(runs, key=lambda run: run[0])] for device, runs in order.items()}
    for device, sequence in ran.items():
        last: dict[int, Asked] = {}
        for asked in sequence:
            before = last.get(asked.life)
            if before is not None and before.number > asked.number:
                yield f"{_named(asked)} ran after {_named(before)} on {device}"
            last[asked.life] = asked
    for one, other in combinations(sorted(ran), 2):
        places = {id(asked): number for number, asked in enumerate(ran[other])}
        shared = [asked for asked in ran[one] if id(asked) in places]
        for earlier, later in pairwise(shared):
            if places[id(earlier)] > places[id(later)]:
                yield f"{_named(earlier)} and {_named(later)} ran in this order on {one}, in the other on {other}"


def no_device_behind_serves(history: History) -> Iterator[str]:
    """A read that needs a key runs only where the key is what its owner knows it to be."""
    if not history.promises.writes:
        return
    lives = slot_lives(history.asked, history.promises.doubt)
    for asked in history.asked:
        if asked.does is not Does.READ or asked.slot is None:
            continue
        for seen in history.of(asked):
            if seen.record.answer is None or not (seen.executed or seen.record.missed_a_key):
                continue
            # What nobody waits for any more may run late, on a device that has fallen behind in the meantime.
            end = seen.ran if seen.record.answer != asked.answer else asked.at
            keys = lives[asked.slot].during(asked.at, max(end, asked.at))
            if seen.record.answer not in right_answers(asked, keys):
                yield f"{_named(asked)} of slot {asked.slot} ran on {_place(seen)}, which is behind"


def no_success_is_lost(history: History) -> Iterator[str]:
    """At the end every device in service has in every slot what its owner knows to be there."""
    if not history.promises.writes:
        return
    for slot, life in sorted(slot_lives(history.asked, history.promises.doubt).items()):
        for device, table in history.tables.items():
            if table.get(slot) not in life.last:
                yield f"slot {slot} of {device} has not what its last write left there"
    for one, other in pairwise(sorted(history.tables)):
        if history.tables[one] != history.tables[other]:
            yield f"{one} and {other} are in service with different key tables"


def logins_follow(history: History) -> Iterator[str]:
    """Who has logged in never hears that a login is needed, and who has not never needs one here.

    But for clients that have sent what no catalogue knows: nobody can say as whom they are logged in since then, so
    they hear what their device says.
    """
    if not history.promises.sessions:
        return
    pinned: set[int] = set()
    for asked in history.asked:
        if asked.code == UNKNOWN_CODE:
            pinned.add(asked.life)
        if asked.error == LOGIN_REQUIRED and asked.user is not None and asked.life not in pinned:
            yield f"{_named(asked)} of {asked.user} was answered {asked.answer!r}"


UNKNOWN_CODE: Final = b"QQQQ"  # what clients send that no catalogue knows

CHECKERS: Final[tuple[Checker, ...]] = (
    answers_belong,
    answers_in_order,
    nobody_waits_for_ever,
    nobody_borrows_a_login,
    connections_have_one_identity,
    refused_reached_nobody,
    writes_run_once,
    doubtful_ran_once,
    successes_reach_the_quorum,
    writes_in_order,
    no_device_behind_serves,
    no_success_is_lost,
    logins_follow,
)


def _runs(history: History, asked: Asked) -> list[Seen]:
    return [seen for seen in history.of(asked) if seen.executed]


def _asked(history: History, seen: Seen) -> Asked | None:
    mark = mark_of(seen.record.request)
    return history.by_mark.get(mark) if mark is not None else None


def _lives(history: History) -> dict[int, list[Asked]]:
    found: dict[int, list[Asked]] = defaultdict(list)
    for asked in history.asked:
        found[asked.life].append(asked)
    return found


def _named(asked: Asked) -> str:
    return f"{asked.code.decode()} {(asked.mark or b'without a mark').decode()}"


def _place(seen: Seen) -> str:
    return f"{seen.device}, connection {seen.record.connection}"
