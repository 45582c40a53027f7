"""What a supervisor and a worker say to each other arrives whole, in order, and never holds up who says it."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from structlog.testing import capture_logs

from guardian.workers.channel import Channel, ChannelError, NoAnswer, PeerGone, Refused


@attrs.frozen(kw_only=True)
class _Fact:
    name: str
    counts: dict[str, int]


def _pair() -> tuple[Channel, Channel]:
    one, other = socket.socketpair()
    return Channel(one), Channel(other)


@asynccontextmanager
async def _talking() -> AsyncIterator[tuple[Channel, Channel]]:
    ours, theirs = _pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.run)
        nursery.start_soon(theirs.run)
        yield ours, theirs
        nursery.cancel_scope.cancel()


async def _until(condition: Any) -> None:
    with trio.fail_after(20):
        while not condition():
            await trio.sleep(0.005)


async def test_what_is_told_arrives_in_its_order_also_when_it_was_told_before_anybody_ran() -> None:
    ours, theirs = _pair()
    heard: list[int] = []

    def count(number: int) -> None:
        heard.append(number)

    theirs.hear("count", count)
    for number in range(3):
        ours.tell("count", number=number)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.run)
        nursery.start_soon(theirs.run)
        for number in range(3, 500):
            ours.tell("count", number=number)
        await _until(lambda: len(heard) == 500)
        nursery.cancel_scope.cancel()
    assert heard == list(range(500))


async def test_a_question_gets_its_own_answer_however_long_others_take() -> None:
    async with _talking() as (ours, theirs):

        async def after(moment: float, word: str) -> str:
            await trio.sleep(moment)
            return word

        theirs.answer_with("after", after)
        answers: list[str] = []

        async def ask(moment: float, word: str) -> None:
            answers.append(await ours.ask("after", moment=moment, word=word))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, 0.2, "late")
            nursery.start_soon(ask, 0.0, "soon")
        assert answers == ["soon", "late"]


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_objects_arrive_as_what_they_are_small_or_big(size: int) -> None:
    async with _talking() as (ours, theirs):
        fact = _Fact(name="x" * size, counts={"a": 1})

        async def give() -> _Fact:
            return fact

        theirs.answer_with("fact", give, beside=True)
        assert await ours.ask("fact", of=_Fact) == fact


async def test_both_may_ask_each_other_at_once() -> None:
    async with _talking() as (ours, theirs):

        async def half(number: int) -> float:
            return number / 2

        async def quarter(number: int) -> float:
            found: float = await theirs.ask("half", number=number)
            return found / 2

        ours.answer_with("half", half)
        theirs.answer_with("quarter", quarter)
        assert await ours.ask("quarter", number=8) == 2


async def test_a_no_says_why_and_a_fault_is_told_without_what_was_in_it() -> None:
    async with _talking() as (ours, theirs):

        async def no() -> None:
            raise Refused("the file has errors")

        async def faulty() -> None:
            raise ValueError("a secret")

        theirs.answer_with("no", no)
        theirs.answer_with("faulty", faulty)
        with pytest.raises(Refused, match="the file has errors"):
            await ours.ask("no")
        with pytest.raises(Refused, match="its log says more"):
            await ours.ask("faulty")
        with pytest.raises(Refused, match="nobody answers unknown"):
            await ours.ask("unknown")


async def test_a_handler_that_fails_does_not_end_the_channel() -> None:
    async with _talking() as (ours, theirs):

        def fail() -> None:
            raise ValueError

        async def yes() -> bool:
            return True

        theirs.hear("fail", fail)
        theirs.answer_with("yes", yes)
        ours.tell("fail")
        ours.tell("fail", surplus=1)
        with capture_logs() as logs:
            ours.tell("what nobody hears", secret="a secret")
            assert await ours.ask("yes") is True
        assert logs[-1]["event"] == "nobody hears what a process was told"
        assert "a secret" not in str(logs)


async def test_an_answer_that_does_not_come_is_given_up_and_comes_to_nobody_later() -> None:
    async with _talking() as (ours, theirs):
        go = trio.Event()

        async def late() -> str:
            await go.wait()
            return "late"

        async def soon() -> str:
            return "soon"

        theirs.answer_with("late", late)
        theirs.answer_with("soon", soon)
        with pytest.raises(NoAnswer, match="late"):
            await ours.ask("late", timeout=0.05)
        go.set()
        assert await ours.ask("soon") == "soon"


async def test_who_waits_for_a_process_that_ends_is_told_so() -> None:
    async with _talking() as (ours, theirs):

        async def never() -> None:
            await trio.sleep_forever()

        theirs.answer_with("never", never)
        raised: list[ChannelError] = []

        async def ask() -> None:
            with pytest.raises(PeerGone) as told:
                await ours.ask("never", timeout=60)
            raised.append(told.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.02)
            theirs.close()
        assert "ended" in str(raised[0])
        assert ours.ended.is_set()
        with pytest.raises(PeerGone):
            await ours.ask("anything")
        ours.tell("anything")  # nobody is there, and nothing happens


async def test_who_does_not_read_is_taken_for_dead_and_holds_nobody_up() -> None:
    ours, theirs = _pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.run)
        piece = b"x" * (1 << 20)
        for _ in range(64):
            ours.tell("piece", data=piece)
            if ours.ended.is_set():
                break
        assert ours.ended.is_set()
        assert "does not read" in ours.reason
        nursery.cancel_scope.cancel()
    theirs.close()


async def test_descriptors_come_with_their_own_message() -> None:
    async with _talking() as (ours, theirs):
        read: list[bytes] = []

        async def look(name: str, descriptors: list[int]) -> str:
            for each in descriptors:
                assert not os.get_inheritable(each)
                read.append(os.read(each, 10))
                os.close(each)
            return name

        async def plain(data: bytes) -> int:
            return len(data)

        theirs.answer_with("look", look)
        theirs.answer_with("plain", plain)
        for round_ in range(20):
            pipes = [os.pipe() for _ in range(3)]
            for number, (_, writing) in enumerate(pipes):
                os.write(writing, b"%d/%d" % (round_, number))
            assert await ours.ask("look", name="it", descriptors=[reading for reading, _ in pipes]) == "it"
            assert await ours.ask("plain", data=b"y" * 100_000) == 100_000
            for pair in pipes:
                for each in pair:
                    os.close(each)
        assert read == [b"%d/%d" % (round_, number) for round_ in range(20) for number in range(3)]


async def test_descriptors_that_nobody_takes_are_closed() -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with _talking() as (ours, theirs):

        async def ready() -> None: ...

        theirs.answer_with("ready", ready)
        reading, writing = os.pipe()
        ours.tell("what nobody hears", descriptors=[reading, writing])
        with pytest.raises(Refused):
            await ours.ask("what nobody answers", descriptors=[reading, writing])
        await ours.ask("ready")
        os.close(reading)
        os.close(writing)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", b"\0\0\0\4abcd", b"\0\0\0\1\x90"])
async def test_what_is_no_message_ends_the_channel(garbage: bytes) -> None:
    one, other = socket.socketpair()
    channel = Channel(one)
    with other:
        other.sendall(garbage)
        with trio.fail_after(20):
            await channel.run()
    assert channel.reason
