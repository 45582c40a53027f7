"""An emulated device on a real socket: who may do what, kill and restart, order, capacity, and the journal."""

from __future__ import annotations

import pytest
import trio

from loadtest.framing import Framing
from loadtest.simhsm import DEFAULT_DIRECTORY, Constant, Outcome, PerCommand, SimulatedDevice
from loadtest.simhsm.journal import Change
from loadtest.simhsm.session import SessionLimits
from tests.support.emulated import Caller, Connect, Contexts, Start

LOGIN = b"[AORKLG;DAcrypto1;CHsafest1;]"


# who may do what


async def test_before_login_only_transaction_processing_is_open(start: Start, connect: Connect) -> None:
    device = await start(directory=DEFAULT_DIRECTORY)
    caller = await connect(device)
    assert await caller.ask(b"[AOECHO;AG1;]") == b"[AOECHO;AG1;]"
    assert await caller.ask(b"[AOGPGS;CT6;AG1;]") == b"[AOERRO;AM20;ANAO;BBLOGIN REQUIRED;AG1;]"
    assert (await caller.call("TIME", TM="20300101000000"))["BB"] == "LOGIN REQUIRED"
    assert await caller.ask(LOGIN) == b"[AORKLG;ANY;]"
    assert (await caller.call("GPGS", CT=6)).code == "GPGS"
    assert [record.identity for record in device.journal] == [None, None, None, None, "crypto1"]


async def test_a_login_counts_for_its_connection_only(start: Start, connect: Connect) -> None:
    device = await start(directory=DEFAULT_DIRECTORY)
    first, second = await connect(device), await connect(device)
    await first.ask(LOGIN)
    assert (await second.call("GPGS", CT=6)).code == "ERRO"


@pytest.mark.parametrize("fields", [{"DA": "crypto1", "CH": "wrong"}, {"DA": "nobody", "CH": "safest1"}, {"AP": "no"}])
async def test_a_wrong_login_is_no_error_and_no_login(
    start: Start, connect: Connect, fields: dict[str, object]
) -> None:
    device = await start(directory=DEFAULT_DIRECTORY)
    caller = await connect(device)
    assert (await caller.call("RKLG", **fields)).raw == b"[AORKLG;ANN;]"
    assert (await caller.call("GPGS", CT=6))["BB"] == "LOGIN REQUIRED"


async def test_a_token_logs_in_and_gives_one_for_later(start: Start, connect: Connect) -> None:
    device = await start(directory=DEFAULT_DIRECTORY)
    caller = await connect(device)
    answer = await caller.call("RKLG", AP="token-of-crypto1")
    assert answer["AN"] == "Y"
    assert answer["JW"]
    assert (await caller.call("GPGS", CT=6)).code == "GPGS"


async def test_two_logins_must_be_of_two_identities(start: Start, connect: Connect) -> None:
    device = await start(directory=DEFAULT_DIRECTORY, logins_required=2)
    caller = await connect(device)
    for _ in range(2):
        assert await caller.ask(LOGIN) == b"[AORKLG;ANY;LR1;]"
    assert (await caller.call("GPGS", CT=6)).code == "ERRO"
    assert await caller.ask(b"[AORKLG;DAcrypto2;CHsafest2;]") == b"[AORKLG;ANY;]"
    assert (await caller.call("GPGS", CT=6)).code == "GPGS"


async def test_a_certificate_of_an_identity_replaces_the_login(
    start: Start, connect: Connect, contexts: Contexts
) -> None:
    device = await start(directory=DEFAULT_DIRECTORY, tls=contexts.server)
    assert (await (await connect(device, "crypto1")).call("GPGS", CT=6)).code == "GPGS"
    assert (await (await connect(device, "somebody")).call("GPGS", CT=6)).code == "ERRO"
    device.certificate_login = False
    assert (await (await connect(device, "crypto1")).call("GPGS", CT=6)).code == "ERRO"


async def test_a_login_ends_after_its_requests(start: Start, connect: Connect) -> None:
    device = await start(directory=DEFAULT_DIRECTORY, session_limits=SessionLimits(requests=2))
    caller = await connect(device)
    await caller.ask(LOGIN)
    codes = [(await caller.call("GPGS", CT=6)).code for _ in range(3)]
    assert codes == ["GPGS", "GPGS", "ERRO"]


# parts


async def test_a_continuation_belongs_to_its_connection(start: Start, connect: Connect) -> None:
    device = await start()
    caller, thief = await connect(device), await connect(device)
    key = (await caller.call("GRSA", RB=1024))["RC"]
    part = await caller.call("RSAS", RC=key, RF=b"one", BN=1)
    assert (part["BN"], part.code) == ("CONTINUE", "RSAS")
    assert (await thief.call("RSAS", CH=part["CH"], RF=b"two", BN=0))["AN"] == "CH"
    assert (await caller.call("RSAS", CH=part["CH"], RF=b"two", BN=0))["RH"]


# kill and restart


async def test_kill_resets_everybody_and_restart_is_on_the_same_port(start: Start, connect: Connect) -> None:
    device = await start()
    callers = [await connect(device) for _ in range(5)]
    for caller in callers:
        await caller.ask(b"[AOECHO;]")
    address = device.address
    await device.kill()
    assert device.connections == 0
    for caller in callers:
        with pytest.raises(trio.BrokenResourceError):
            await caller.ask(b"[AOECHO;]")
    with pytest.raises(OSError, match="failed"):
        await connect(device)
    await device.restart()
    assert device.address == address
    assert await (await connect(device)).ask(b"[AOECHO;]") == b"[AOECHO;]"


async def test_what_was_in_work_when_the_power_went_is_never_answered(start: Start, connect: Connect) -> None:
    device = await start(latency=Constant(30))
    caller = await connect(device)
    await caller.send(b"[AOGPGS;CT6;BD1;]")
    while not device.journal:
        await trio.sleep(0)
    await device.restart()
    with pytest.raises(trio.BrokenResourceError):
        await caller.answer()
    assert device.journal.records[0].outcome is Outcome.ARRIVED
    assert 1 not in device.hsm.table


async def test_a_device_comes_back_with_an_old_table(start: Start, connect: Connect) -> None:
    device = await start()
    caller = await connect(device)
    await caller.call("GPGS", CT=6, BD=1, LA="first")
    old = device.hsm.table.copy()
    await caller.call("GPKS", BD=1, LA="renamed")
    await caller.call("GPGS", CT=6, BD=2)
    await device.restart(keys=old)
    caller = await connect(device)
    assert (await caller.call("GPKR", BD=1))["LA"] == "first"
    assert (await caller.call("GPGC", BD=2))["BB"] == "KEY SLOT EMPTY"
    await caller.call("GPKD", BD=1)
    assert 1 in old  # the snapshot is nobody's table
    assert [event.change for event in device.journal.events] == [Change.KILLED, Change.CAME_BACK_OLD]
    assert device.journal.events[1].table == old.digest()
    assert [record.missed_a_key for record in device.journal.of("GPGC")] == [True]


@pytest.mark.parametrize("empty", [True, False])
async def test_the_key_table_survives_unless_it_should_not(start: Start, connect: Connect, empty: bool) -> None:
    device = await start()
    key = (await (await connect(device)).call("GPGS", CT=6, BD=3))["BG"]
    await device.restart(empty_keys=empty)
    caller = await connect(device)
    assert (await caller.call("GPGC", BD=3)).code == ("ERRO" if empty else "GPGC")
    assert (await caller.call("GPSE", BG=key, BO=b"x")).code == "GPSE"  # the major key stays
    assert len(device.journal) == 3


async def test_the_port_is_given_back_at_the_end(connect: Connect) -> None:
    device = SimulatedDevice()
    async with trio.open_nursery() as nursery:
        await nursery.start(device.serve)
        caller = await connect(device)
        await caller.ask(b"[AOECHO;]")
        nursery.cancel_scope.cancel()
    assert device.connections == 0
    again = SimulatedDevice(bind=device.address)
    async with trio.open_nursery() as nursery:
        await nursery.start(again.serve)
        nursery.cancel_scope.cancel()


async def test_too_many_connections_are_reset(start: Start, connect: Connect) -> None:
    device = await start(connections=2)
    kept = [await connect(device) for _ in range(2)]
    for caller in kept:
        await caller.ask(b"[AOECHO;]")
    surplus = await connect(device)
    with pytest.raises((trio.BrokenResourceError, EOFError)):
        await surplus.ask(b"[AOECHO;]")
    assert await kept[0].ask(b"[AOECHO;]") == b"[AOECHO;]"


async def test_a_client_that_speaks_no_tls_harms_nobody(start: Start, connect: Connect, contexts: Contexts) -> None:
    device = await start(tls=contexts.server)
    plain = await connect(device)
    await plain.send(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises((trio.BrokenResourceError, EOFError)):
        await plain.answer()
    assert await (await connect(device, "client")).ask(b"[AOECHO;]") == b"[AOECHO;]"


# order and capacity


@pytest.mark.parametrize("parallel", [1, 8])
async def test_answers_keep_their_order(start: Start, connect: Connect, parallel: int) -> None:
    slow_first = PerCommand({"RAND": Constant(0.03)})
    device = await start(latency=slow_first, parallel=parallel)
    caller = await connect(device)
    await caller.send(b"[AORAND;AG0;][AOECHO;AG1;]\r\n[AORAND;AG2;] [AOECHO;AG3;]")
    answers = [await caller.answer() for _ in range(4)]
    assert [answer[-5:] for answer in answers] == [b"AG0;]", b"AG1;]", b"AG2;]", b"AG3;]"]


async def duration(callers: list[Caller], each: int) -> float:
    began = trio.current_time()

    async def ask(caller: Caller) -> None:
        await caller.send(b"[AOECHO;]" * each)
        for _ in range(each):
            await caller.answer()

    async with trio.open_nursery() as nursery:
        for caller in callers:
            nursery.start_soon(ask, caller)
    return trio.current_time() - began


async def test_a_connection_is_served_one_request_at_a_time(start: Start, connect: Connect) -> None:
    device = await start(latency=Constant(0.01))
    assert await duration([await connect(device)], 8) >= 0.08


async def test_a_parallel_device_works_on_what_comes_behind_a_slow_request(start: Start, connect: Connect) -> None:
    device = await start(latency=PerCommand({"RAND": Constant(60)}), parallel=2)
    caller = await connect(device)
    await caller.send(b"[AORAND;][AOECHO;]")
    while not device.journal.executed("ECHO"):
        await trio.sleep(0)
    assert [record.outcome for record in device.journal] == [Outcome.ARRIVED, Outcome.EXECUTED]


async def test_capacity_bounds_the_whole_device(start: Start, connect: Connect) -> None:
    bounded = await start(latency=Constant(0.01), capacity=2)
    assert await duration([await connect(bounded) for _ in range(8)], 1) >= 0.04


async def test_rate_bounds_requests_per_second(start: Start, connect: Connect) -> None:
    device = await start(rate=200)
    assert await duration([await connect(device) for _ in range(5)], 4) >= 19 / 200


@pytest.mark.parametrize("framing", [Framing.LENGTH2, Framing.LENGTH4])
async def test_lengths_frame_requests_and_answers(start: Start, connect: Connect, framing: Framing) -> None:
    device = await start(framing=framing)
    caller = await connect(device)
    wrapped = framing.wrap(b"[AOECHO;AG1;]")
    await caller.send(wrapped[:3])
    await caller.send(wrapped[3:] + wrapped)
    received = b""
    while len(received) < 2 * len(wrapped):
        received += await caller.stream.receive_some(4096)
    assert received == wrapped * 2


# the journal


async def test_the_journal_has_every_byte_that_came(start: Start, connect: Connect) -> None:
    device = await start()
    caller = await connect(device)
    other = await connect(device)
    await caller.ask(b"[AOECHO;AG1;]")
    await other.ask(b"stray[AOECHO;AG2;]")
    assert await other.answer() == b"[AOECHO;AG2;]"
    await caller.ask(b"[ECHO;]")
    records = [(record.connection, record.code, record.request) for record in device.journal]
    assert records == [
        (1, "ECHO", b"[AOECHO;AG1;]"),
        (2, "", b"stray"),
        (2, "ECHO", b"[AOECHO;AG2;]"),
        (1, "", b"[ECHO;]"),
    ]
    times = [record.at for record in device.journal]
    assert times == sorted(times)
    assert device.journal.count(b"[AOECHO;AG1;]") == 1
    assert [record.request for record in device.journal.executed()] == [b"[AOECHO;AG1;]", b"[AOECHO;AG2;]"]


async def test_a_limited_journal_keeps_the_last(start: Start, connect: Connect) -> None:
    device = await start(journal_limit=2)
    caller = await connect(device)
    for number in range(5):
        await caller.ask(f"[AOECHO;AG{number};]".encode())
    assert [record.request for record in device.journal] == [b"[AOECHO;AG3;]", b"[AOECHO;AG4;]"]
