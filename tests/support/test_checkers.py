"""The checkers find nothing in a good history, and each planted violation in a bad one."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, Final

import attrs
import pytest

from loadtest.simhsm.accounts import LoginResult, LoginTry
from loadtest.simhsm.journal import Outcome, Record
from tests.support.checkers import CHECKERS, check
from tests.support.histories import Asked, Does, History, Promises, Seen
from tests.support.slots import SlotLife, slot_lives

DEVICES: Final = ("hsm1", "hsm2", "hsm3")
KEY, OTHER = b"k" * 32, b"o" * 32


@attrs.define(eq=False)
class Tale:
    """Two clients of two identities before three devices; time goes on by itself."""

    now: float = 100.0
    lives: int = 0
    history: History = attrs.field(
        factory=lambda: History(asked=[], devices={name: [] for name in DEVICES}, promises=Promises(quorum=2))
    )
    named: dict[str, Asked] = attrs.field(factory=dict)

    def tick(self) -> float:
        self.now += 1
        return self.now

    def ask(
        self, name: str, does: Does, body: str, *, client: int = 1, user: str | None = "user1", **more: Any
    ) -> Asked:
        """``name`` is the request's mark too. Of login requests the body is all there is."""
        request = f"[AO{body}{'' if does is Does.LOGIN else f'AG{name};'}]".encode()
        number = sum(asked.life == client for asked in self.history.asked)
        asked = Asked(
            client=client,
            life=client,
            number=number,
            identity=f"id{client}",
            user=user,
            does=does,
            request=request,
            at=self.tick(),
            **more,
        )
        self.history.asked.append(asked)
        self.named[name] = asked
        return asked

    def run(
        self, asked: Asked, device: str, answer: str, *, users: tuple[str, ...] | None = ("user1",), connection: int = 1
    ) -> Record:
        mark = "" if asked.mark is None else f"AG{asked.mark.decode()};"
        record = Record(
            self.tick(),
            connection,
            None,
            asked.code.decode(),
            asked.request,
            Outcome.REFUSED if answer.startswith("ERRO") else Outcome.ANSWERED,
            f"[AO{answer}{mark}]".encode(),
            ran=self.now,
            users=users,
        )
        if asked.does is Does.LOGIN:
            record.users, record.login = None, LoginTry("user", LoginResult.ACCEPTED)
        self.history.devices[device].append(record)
        return record

    def hear(self, asked: Asked, answer: str | None = None) -> None:
        """The answer of the first device that saw it, or another."""
        if answer is None:
            asked.answer = self.ran(asked)[0].record.answer
        else:
            asked.answer = f"[AO{answer}AG{(asked.mark or b'').decode()};]".encode()
        asked.answered = self.tick()

    def device(self, name: str) -> list[Record]:
        return self.history.devices[name]

    def ran(self, asked: Asked) -> list[Seen]:
        return [seen for seen in self.history.everything_seen() if seen.record.request == asked.request]

    def found(self) -> set[str]:
        return {violation.checker for violation in check(attrs.evolve(self.history))}


def mac(key: bytes, data: bytes) -> str:
    return f"HMAC;CF{hmac.digest(key, data, 'sha256').hex().upper()};"


def good() -> Tale:
    """Everything that may happen: logins, shared reads, a write everywhere, one in doubt, refusals, a device behind."""
    tale = Tale()
    early = tale.ask("early", Does.READ, "ECHO;", user=None)
    tale.run(early, "hsm1", "ECHO;", users=None)
    tale.hear(early)
    for client in (1, 2):
        login = tale.ask(f"login{client}", Does.LOGIN, f"RKLG;DAuser{client};CHx;", client=client, user=None)
        for device in DEVICES:
            tale.run(login, device, "RKLG;ANY;", connection=client)
        tale.hear(login)
    put = tale.ask("put", Does.WRITE, "GPKA;BGx;BD1;", slot=1, key=KEY)
    for device in DEVICES:
        tale.run(put, device, "GPKA;BD1;AEabc;")
    tale.hear(put)
    read = tale.ask("read", Does.READ, "HMAC;ARBD1;", slot=1, data=b"x")
    tale.run(read, "hsm2", mac(KEY, b"x"))
    tale.run(read, "hsm3", mac(KEY, b"x"))  # asked twice: a read may be
    tale.hear(read)
    theirs = tale.ask("theirs", Does.READ, "RAND;", client=2, user="user2")
    tale.run(theirs, "hsm1", "RAND;BOab;", users=("user2",), connection=2)
    tale.hear(theirs)
    tale.hear(tale.ask("busy", Does.READ, "RAND;"), "ERRO;AM904;ANAO;BBBUSY;")
    doubt = tale.ask("doubt", Does.WRITE, "GPKA;BGy;BD2;", slot=2, key=OTHER)
    tale.run(doubt, "hsm1", "GPKA;BD2;AEdef;")
    tale.hear(doubt, "ERRO;AM903;ANAO;BBOUTCOME UNKNOWN;")
    second = tale.ask("second", Does.WRITE, "GPKA;BGz;BD3;", slot=3, key=OTHER)
    for device in ("hsm2", "hsm3"):  # hsm1 is behind now
        tale.run(second, device, "GPKA;BD3;AEdef;")
    tale.hear(second)
    last = tale.ask("last", Does.READ, "HMAC;ARBD3;", slot=3, data=b"y")
    tale.run(last, "hsm3", mac(OTHER, b"y"))
    tale.hear(last)
    tale.history.tables = {name: {1: KEY, 3: OTHER} for name in ("hsm2", "hsm3")}
    return tale


def test_a_good_history_has_no_violations() -> None:
    assert check(good().history) == []


def foreign_answer(tale: Tale) -> None:
    tale.named["theirs"].answer = tale.named["read"].answer


def forged_answer(tale: Tale) -> None:
    tale.named["theirs"].answer = b"[AORAND;BOff;AGtheirs;]"


def answer_of_another_function(tale: Tale) -> None:
    tale.named["theirs"].answer = b"[AOECHO;AGtheirs;]"


def foreign_refusal(tale: Tale) -> None:
    tale.named["busy"].answer = b"[AOERRO;AM904;ANAO;BBBUSY;AGtheirs;]"


def answers_swapped(tale: Tale) -> None:
    first, second = tale.named["put"], tale.named["read"]
    first.answered, second.answered = second.answered, first.answered


def answer_left_out(tale: Tale) -> None:
    tale.named["early"].answer = tale.named["early"].answered = None


def no_answer(tale: Tale) -> None:
    tale.named["last"].answer = tale.named["last"].answered = None
    tale.named["last"].waited = True


def ran_as_another(tale: Tale) -> None:
    """On the right connection, as somebody else."""
    tale.ran(tale.named["theirs"])[0].record.users = ("user1",)


def ran_as_two(tale: Tale) -> None:
    tale.ran(tale.named["theirs"])[0].record.users = ("user2", "user1")


def ran_logged_in_before_login(tale: Tale) -> None:
    tale.ran(tale.named["early"])[0].record.users = ("user1",)


def ping_on_a_login(tale: Tale) -> None:
    tale.device("hsm1").append(Record(99, 1, None, "ECHO", b"[AOECHO;AGping;]", Outcome.ANSWERED, users=("user1",)))


def shared_across_certificates(tale: Tale) -> None:
    """The same password, and so the same user, from two certificates on one connection."""
    tale.named["theirs"].user = "user1"
    record = tale.ran(tale.named["theirs"])[0].record
    record.users, record.connection = ("user1",), 1


def invented_login(tale: Tale) -> None:
    record = Record(
        99, 9, None, "RKLG", b"[AORKLG;DAx;CHy;]", Outcome.ANSWERED, login=LoginTry("x", LoginResult.REFUSED)
    )
    tale.device("hsm1").append(record)


def two_logins_on_one_connection(tale: Tale) -> None:
    for record in tale.device("hsm3"):
        record.connection = 1


def refused_and_seen(tale: Tale) -> None:
    tale.run(tale.named["busy"], "hsm1", "RAND;BOab;")


def refused_and_half_seen(tale: Tale) -> None:
    """Not even arrived is allowed."""
    tale.run(tale.named["busy"], "hsm1", "RAND;BOab;").outcome = Outcome.ARRIVED


def doubt_ran_twice(tale: Tale) -> None:
    tale.run(tale.named["doubt"], "hsm1", "GPKA;BD2;AEdef;")


def success_ran_twice(tale: Tale) -> None:
    tale.run(tale.named["put"], "hsm3", "GPKA;BD1;AEabc;")


def too_few(tale: Tale) -> None:
    """Only the primary has it."""
    for device in ("hsm2", "hsm3"):
        records = tale.device(device)
        records[:] = [record for record in records if record.request != tale.named["put"].request]


def too_late(tale: Tale) -> None:
    """The second device had it only after the client heard of it."""
    for seen in tale.ran(tale.named["second"]):
        if seen.device == "hsm3":
            seen.record.ran = (tale.named["second"].answered or 0) + 0.1


def refused_by_a_replica(tale: Tale) -> None:
    for seen in tale.ran(tale.named["second"]):
        if seen.device == "hsm3":
            seen.record.outcome = Outcome.REFUSED


def different_answers(tale: Tale) -> None:
    tale.ran(tale.named["put"])[2].record.answer = b"[AOGPKA;BD1;AE999;AGput;]"


def out_of_order(tale: Tale) -> None:
    put, second = (
        next(record for record in tale.device("hsm2") if record.request == tale.named[name].request)
        for name in ("put", "second")
    )
    put.ran, second.ran = second.ran, put.ran


def out_of_order_everywhere(tale: Tale) -> None:
    """All devices agree, and it is not what the client sent."""
    tale.named["put"].number, tale.named["second"].number = tale.named["second"].number, tale.named["put"].number


def another_order_elsewhere(tale: Tale) -> None:
    """Writes of two connections: each device may choose an order, but all the same one."""
    tale.named["second"].life = 7
    out_of_order(tale)


def empty_device_served(tale: Tale) -> None:
    tale.run(tale.named["last"], "hsm2", "ERRO;AM35;ANAR;BBKEY SLOT EMPTY;")


def old_key_served(tale: Tale) -> None:
    tale.run(tale.named["read"], "hsm1", mac(OTHER, b"x"))


def success_lost(tale: Tale) -> None:
    tale.history.tables = {name: {1: KEY} for name in ("hsm2", "hsm3")}


def tables_differ(tale: Tale) -> None:
    tale.history.tables = {"hsm2": {1: KEY, 3: OTHER}, "hsm3": {1: KEY, 3: OTHER, 2: OTHER}}


def login_forgotten(tale: Tale) -> None:
    asked = tale.ask("forgotten", Does.READ, "RKEY;")
    tale.run(asked, "hsm1", "ERRO;AM20;ANAO;BBLOGIN REQUIRED;", users=None)
    tale.hear(asked)


PLANTED: Final[tuple[tuple[Callable[[Tale], None], set[str]], ...]] = (
    (foreign_answer, {"answers_belong"}),
    (forged_answer, {"answers_belong"}),
    (answer_of_another_function, {"answers_belong"}),
    (foreign_refusal, {"answers_belong"}),
    (answers_swapped, {"answers_in_order"}),
    (answer_left_out, {"answers_in_order"}),
    (no_answer, {"nobody_waits_for_ever"}),
    (ran_as_another, {"nobody_borrows_a_login"}),
    (ran_as_two, {"nobody_borrows_a_login"}),
    (ran_logged_in_before_login, {"nobody_borrows_a_login"}),
    (ping_on_a_login, {"nobody_borrows_a_login"}),
    (shared_across_certificates, {"connections_have_one_identity"}),
    (invented_login, {"connections_have_one_identity"}),
    (two_logins_on_one_connection, {"connections_have_one_identity"}),
    (refused_and_seen, {"refused_reached_nobody"}),
    (refused_and_half_seen, {"refused_reached_nobody"}),
    (doubt_ran_twice, {"writes_run_once"}),
    (success_ran_twice, {"writes_run_once"}),
    (too_few, {"successes_reach_the_quorum"}),
    (too_late, {"successes_reach_the_quorum"}),
    (refused_by_a_replica, {"successes_reach_the_quorum"}),
    (different_answers, {"successes_reach_the_quorum"}),
    (out_of_order, {"writes_in_order"}),
    (out_of_order_everywhere, {"writes_in_order"}),
    (another_order_elsewhere, {"writes_in_order"}),
    (empty_device_served, {"no_device_behind_serves"}),
    (old_key_served, {"no_device_behind_serves"}),
    (success_lost, {"no_success_is_lost"}),
    (tables_differ, {"no_success_is_lost"}),
    (login_forgotten, {"logins_follow"}),
)


@pytest.mark.parametrize(("plant", "checkers"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_each_planted_violation_is_found(plant: Callable[[Tale], None], checkers: set[str]) -> None:
    tale = good()
    plant(tale)
    assert checkers <= tale.found()
    # What one fault must bring with it is listed; nothing else is suspected.
    assert tale.found() - checkers <= {"answers_belong", "successes_reach_the_quorum", "writes_in_order"}


def test_each_checker_has_a_planted_violation() -> None:
    single = {"doubtful_ran_once"}  # below
    assert {name for _, names in PLANTED for name in names} | single == {checker.__name__ for checker in CHECKERS}


def test_without_replication_a_write_runs_on_one_device_only() -> None:
    tale = Tale()
    tale.history.promises = Promises(writes=False)
    for name, heard in (("done", None), ("doubt", "ERRO;AM903;ANAO;BBOUTCOME UNKNOWN;")):
        asked = tale.ask(name, Does.WRITE, "TIME;")
        tale.run(asked, "hsm1", "TIME;TM2030;")
        tale.hear(asked, heard)
    assert tale.found() == set()
    tale.run(tale.named["done"], "hsm2", "TIME;TM2030;")
    assert tale.found() == {"successes_reach_the_quorum"}
    tale.run(tale.named["doubt"], "hsm2", "TIME;TM2030;")
    assert tale.found() == {"doubtful_ran_once", "successes_reach_the_quorum"}


# what is in a slot


def slot_after(*steps: tuple[bytes | None, str | None]) -> SlotLife:
    """Writes to one slot, each with its key and what was heard: ``ok``, an AM number, or nothing. 10 s apart."""
    tale = Tale()
    for number, (key, heard) in enumerate(steps):
        asked = tale.ask(f"w{number}", Does.WRITE, "GPKA;" if key else "GPKD;", slot=1, key=key)
        if heard == "ok":
            tale.hear(asked, "GPKA;" if key else "GPKD;")
        elif heard is not None:
            tale.hear(asked, f"ERRO;AM{heard};")
        tale.now += 9
    return slot_lives(tale.history.asked, doubt=15)[1]


@pytest.mark.parametrize(
    ("steps", "keys"),
    [
        ([(KEY, "ok")], {KEY}),
        ([(KEY, "ok"), (None, "ok")], {None}),
        ([(KEY, "ok"), (OTHER, "904")], {KEY}),
        ([(KEY, "ok"), (OTHER, "903")], {KEY, OTHER}),
        ([(KEY, "ok"), (OTHER, "905")], {KEY, OTHER}),
        ([(KEY, "ok"), (OTHER, "909")], {KEY, OTHER}),
        ([(KEY, "ok"), (OTHER, "38")], {KEY}),
        ([(KEY, "903"), (None, "35")], {None}),
        ([(KEY, "903"), (OTHER, "ok")], {OTHER}),
        ([(KEY, None), (OTHER, "ok")], {KEY, OTHER}),  # it may still come
        ([(KEY, None), (OTHER, "ok"), (OTHER, "ok")], {OTHER}),  # 20 s later it no longer may
    ],
)
def test_what_may_be_in_a_slot_after_its_writes(
    steps: list[tuple[bytes | None, str | None]], keys: set[bytes | None]
) -> None:
    assert slot_after(*steps).last == keys


def test_while_a_write_is_outstanding_both_keys_may_be_there() -> None:
    life = slot_after((KEY, "ok"), (OTHER, "ok"))
    first, second = (span.at for span in life.spans[2::2])
    assert life.during(first + 1, first + 1) == {KEY}
    begun = life.spans[3].at
    assert life.during(begun, begun) == {KEY, OTHER}
    assert life.during(second, second) == {OTHER}
    assert life.during(first + 1, second + 1) == {KEY, OTHER}
