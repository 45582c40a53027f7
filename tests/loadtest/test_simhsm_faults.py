"""Each fault, seen from the other end of a real socket."""

from __future__ import annotations

import ssl

import pytest
import trio

from loadtest.simhsm import Fault, FaultKind, FaultMix, Outcome
from tests.support.emulated import Connect, Contexts, Start

SOON = 0.05  # seconds in which nothing may come; a failure to hold back would show at once over loopback


async def ended(caller: object, stream: trio.abc.ReceiveStream) -> str:
    """How the connection ends: `reset`, `end`, or `garbled` where TLS was cut off."""
    try:
        return "end" if await stream.receive_some(4096) == b"" else "data"
    except trio.BrokenResourceError as exc:
        return "reset" if isinstance(exc.__cause__, ConnectionResetError) else "garbled"


async def test_refuse_closes_the_listener_and_keeps_connections(start: Start, connect: Connect) -> None:
    device = await start()
    caller = await connect(device)
    device.fault = Fault.refuse()
    with pytest.raises(OSError, match="failed"):
        await connect(device)
    assert await caller.ask(b"[AOECHO;AG1;]") == b"[AOECHO;AG1;]"
    device.fault = None
    assert await (await connect(device)).ask(b"[AOECHO;AG2;]") == b"[AOECHO;AG2;]"


async def test_hang_accepts_and_never_answers(start: Start, connect: Connect) -> None:
    device = await start()
    before = await connect(device)
    await before.ask(b"[AOECHO;]")
    device.fault = Fault.hang()
    after = await connect(device)
    for caller in (before, after):
        await caller.send(b"[AOECHO;AG1;]")
        with trio.move_on_after(SOON) as scope:
            await caller.answer()
        assert scope.cancelled_caught
    assert [record.outcome for record in device.journal.of("ECHO")] == [Outcome.ANSWERED, Outcome.ARRIVED]
    device.fault = None
    assert await (await connect(device)).ask(b"[AOECHO;]") == b"[AOECHO;]"


async def test_hang_never_finishes_a_handshake(start: Start, connect: Connect, contexts: Contexts) -> None:
    device = await start(tls=contexts.server)
    device.fault = Fault.hang()
    with trio.move_on_after(SOON) as scope:
        await connect(device, "client")
    assert scope.cancelled_caught


async def test_mute_sticks_to_the_connection(start: Start, connect: Connect) -> None:
    device = await start(fault=Fault.mute("RAND"))
    stuck, other = await connect(device), await connect(device)
    await stuck.send(b"[AORAND;][AOECHO;]")
    with trio.move_on_after(SOON) as scope:
        await stuck.answer()
    assert scope.cancelled_caught
    assert await other.ask(b"[AOECHO;]") == b"[AOECHO;]"
    assert [record.outcome for record in device.journal] == [Outcome.ARRIVED, Outcome.ARRIVED, Outcome.ANSWERED]


@pytest.mark.parametrize("executed", [True, False])
async def test_reset_comes_instead_of_the_answer(start: Start, connect: Connect, executed: bool) -> None:
    device = await start(fault=Fault.reset(executed=executed))
    caller = await connect(device)
    await caller.send(b"[AOGPGS;CT6;BD1;]")
    assert await ended(caller, caller.stream) == "reset"
    record = device.journal.records[0]
    assert record.outcome is (Outcome.EXECUTED if executed else Outcome.ARRIVED)
    assert record.fault is FaultKind.RESET
    assert (1 in device.hsm.table) is executed


async def test_close_ends_in_order(start: Start, connect: Connect, contexts: Contexts) -> None:
    device = await start(tls=contexts.server, fault=Fault.close())
    caller = await connect(device, "client")
    await caller.send(b"[AOECHO;]")
    assert await ended(caller, caller.stream) == "end"


async def test_close_half_gives_half_an_answer(start: Start, connect: Connect) -> None:
    device = await start(fault=Fault.close_half())
    caller = await connect(device)
    await caller.send(b"[AOECHO;AG123456;]")
    with pytest.raises(EOFError) as caught:
        await caller.answer()
    assert caught.value.args[0] == b"[AOECHO;A"
    assert device.journal.records[0].outcome is Outcome.EXECUTED


async def test_garbage_is_no_message(start: Start, connect: Connect) -> None:
    device = await start(fault=Fault.garbage(times=1))
    caller = await connect(device)
    await caller.send(b"[AOECHO;]")
    data = await caller.stream.receive_some(4096)
    assert data
    assert not data.startswith(b"[AO")
    assert await caller.ask(b"[AOECHO;]") == b"[AOECHO;]"


async def test_repeat_comes_again_after_its_delay(start: Start, connect: Connect) -> None:
    device = await start(fault=Fault.repeat(times=1, delay=0.001))
    caller = await connect(device)
    assert await caller.ask(b"[AOECHO;AG1;]") == b"[AOECHO;AG1;]"
    assert await caller.answer() == b"[AOECHO;AG1;]"
    assert await caller.ask(b"[AOECHO;AG2;]") == b"[AOECHO;AG2;]"
    assert len(device.journal) == 2


async def test_late_comes_after_its_delay(start: Start, connect: Connect) -> None:
    device = await start(fault=Fault.late(delay=0.05))
    caller = await connect(device)
    began = trio.current_time()
    assert await caller.ask(b"[AOECHO;AG1;]") == b"[AOECHO;AG1;]"
    assert trio.current_time() - began >= 0.05


async def test_wrong_answers_have_another_context_or_another_code(start: Start, connect: Connect) -> None:
    device = await start(fault=Fault.wrong_echo())
    caller = await connect(device)
    assert await caller.ask(b"[AOECHO;AG1;]") == b"[AOECHO;AG10;]"
    device.fault = Fault.wrong_code()
    assert await caller.ask(b"[AORAND;AG1;]") == b"[AOECHO;AG1;]"
    assert await caller.ask(b"[AOECHO;AG1;]") == b"[AOSTAT;AG1;]"
    assert device.journal.records[0].answer == b"[AOECHO;AG1;]"  # the witness keeps what was right


async def test_a_zombie_answers_errors_at_once_and_does_nothing(start: Start, connect: Connect) -> None:
    device = await start(fault=Fault.error(number=77, text="BROKEN"))
    caller = await connect(device)
    assert await caller.ask(b"[AOGPGS;CT6;BD1;AG5;]") == b"[AOERRO;AM77;ANAO;BBBROKEN;AG5;]"
    assert 1 not in device.hsm.table
    assert device.journal.records[0].outcome is Outcome.REFUSED


async def test_a_wrong_certificate_is_shown_to_new_connections(
    start: Start, connect: Connect, contexts: Contexts
) -> None:
    device = await start(tls=contexts.server)
    before = await connect(device, "client")
    device.fault = Fault.wrong_certificate()
    with pytest.raises(trio.BrokenResourceError) as caught:
        await connect(device, "client")
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    assert await before.ask(b"[AOECHO;]") == b"[AOECHO;]"


async def test_a_fault_strikes_its_codes_and_its_times_only(start: Start, connect: Connect) -> None:
    device = await start(fault=Fault.error("RAND", times=2))
    caller = await connect(device)
    codes = [(await caller.call(code)).code for code in ("ECHO", "RAND", "ECHO", "RAND", "RAND")]
    assert codes == ["ECHO", "ERRO", "ECHO", "ERRO", "RAND"]


def test_a_mix_strikes_about_its_shares_and_repeats_with_its_seed() -> None:
    first, second = (FaultMix(reset=0.1, repeat=0.2, seed=7) for _ in range(2))
    drawn = [fault.kind if fault else None for fault in (first.draw("ECHO") for _ in range(5000))]
    assert drawn == [fault.kind if fault else None for fault in (second.draw("ECHO") for _ in range(5000))]
    assert drawn.count(FaultKind.RESET) / 5000 == pytest.approx(0.1, abs=0.02)
    assert drawn.count(FaultKind.REPEAT) / 5000 == pytest.approx(0.2, abs=0.02)
    assert set(drawn) == {None, FaultKind.RESET, FaultKind.REPEAT}


def test_a_mix_refuses_what_cannot_be_mixed() -> None:
    with pytest.raises(ValueError, match="whole device"):
        FaultMix(hang=0.1)
    with pytest.raises(ValueError, match="more than all"):
        FaultMix(reset=0.6, close=0.6)


@pytest.mark.parametrize("parallel", [1, 4])
async def test_a_mix_over_a_socket_leaves_other_answers_right(start: Start, connect: Connect, parallel: int) -> None:
    device = await start(fault=FaultMix(late=0.2, error=0.2, delay=0.001, seed=1), parallel=parallel)
    caller = await connect(device)
    answers = [await caller.ask(f"[AOECHO;AG{number};]".encode()) for number in range(100)]
    for number, answer in enumerate(answers):
        assert answer.endswith(f"AG{number};]".encode())
    assert {record.fault for record in device.journal} == {None, FaultKind.LATE, FaultKind.ERROR}
