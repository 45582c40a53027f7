from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog

from config.model import Logs
from guardian import logs

JSON = Logs(format="json")


class Pipe:
    """A pipe whose reading end nobody looks at until `lines` is called."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def fill(self) -> int:
        """Make the pipe full; returns how many bytes that took."""
        os.set_blocking(self.writer, False)
        filled = 0
        try:
            while True:
                filled += os.write(self.writer, b"." * 4096)
        except BlockingIOError:
            os.set_blocking(self.writer, True)
        return filled

    def skip(self, count: int) -> None:
        while count:
            count -= len(os.read(self.reader, min(count, 65536)))

    def lines(self) -> list[bytes]:
        """Close the writing end and give all that is left."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1
        with os.fdopen(os.dup(self.reader), "rb") as file:
            return file.read().splitlines()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]

    def close(self) -> None:
        for fd in (self.reader, self.writer):
            if fd >= 0:
                os.close(fd)


def fail(why: str) -> None:
    raise ValueError(why)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()
    structlog.reset_defaults()


def test_an_event_has_time_level_name_and_keys(pipe: Pipe) -> None:
    with logs.start(JSON, fd=pipe.writer):
        structlog.get_logger().warning("device ejected", device="hsm1", failures=5)
    (event,) = pipe.events()
    assert list(event) == ["time", "level", "event", "device", "failures"]
    assert event["time"].endswith("Z")
    assert abs(time.time() - datetime.fromisoformat(event["time"]).timestamp()) < 60
    assert {**event, "time": ""} == {
        "time": "", "level": "warning", "event": "device ejected", "device": "hsm1", "failures": 5,
    }  # fmt: skip


def test_text_is_one_line_whatever_is_in_it(pipe: Pipe) -> None:
    with logs.start(Logs(format="text"), fd=pipe.writer):
        structlog.get_logger().info("a\nb", name="two words", forged="x\n2026 error owned", plain="hsm1", none=None)
    (line,) = pipe.lines()
    assert line.split(b" ", 1)[1] == (
        rb'info    "a\nb" name="two words" forged="x\n2026 error owned" plain=hsm1 none=null'
    )


def test_auto_is_json_where_nobody_looks(pipe: Pipe) -> None:
    with logs.start(Logs(), fd=pipe.writer):
        structlog.get_logger().info("x")
    assert [event["event"] for event in pipe.events()] == ["x"]


def test_levels_below_the_wanted_are_left_out_and_can_change(pipe: Pipe) -> None:
    log = structlog.get_logger()
    with logs.start(Logs(format="json", level="warning"), fd=pipe.writer) as handle:
        log.info("one")
        log.error("two")
        handle.apply(Logs(format="json", level="debug"))
        log.debug("three")
    assert [event["event"] for event in pipe.events()] == ["two", "three"]


def test_no_secret_is_written(pipe: Pipe) -> None:
    canary = "S3cr3tCanary"
    with logs.start(JSON, fd=pipe.writer):
        log = structlog.get_logger().bind(token=canary)
        log.info("got [AOECHO;AGS3cr3tCanary;]", password=canary, detail=canary.encode(), inner={"pin": canary})
        try:
            fail(f"[AOGPKD;BG{canary};]")
        except ValueError:
            log.exception("fault")
        logging.getLogger("library").error("wrote %s", f"[AOECHO;AG{canary};]")
    written = pipe.lines()
    assert len(written) == 3
    assert canary.encode() not in b"".join(written)


def test_an_exception_is_one_line_with_its_place(pipe: Pipe) -> None:
    with logs.start(JSON, fd=pipe.writer):
        try:
            fail("no such thing")
        except ValueError:
            structlog.get_logger().exception("fault")
    (event,) = pipe.events()
    assert event["level"] == "error"
    assert event["exception"] == "ValueError: no such thing"
    assert "test_logs.py" in event["stack"][-1]


def test_a_value_that_cannot_be_shown_does_not_break_its_logger(pipe: Pipe) -> None:
    class Broken(dict[str, str]):
        def items(self) -> Any:
            raise RuntimeError("broken")

    with logs.start(JSON, fd=pipe.writer):
        structlog.get_logger().info("x", thing=Broken())
    (event,) = pipe.events()
    assert (event["event"], event["exception"]) == ("event not logged", "RuntimeError: broken")


def test_libraries_log_through_the_same_queue(pipe: Pipe) -> None:
    with logs.start(JSON, fd=pipe.writer):
        logging.getLogger("trio_websocket").warning("odd %s", "frame")
        logging.getLogger("trio_websocket").info("not this")
    (event,) = pipe.events()
    assert (event["level"], event["event"], event["logger"]) == ("warning", "odd frame", "trio_websocket")


def test_a_full_pipe_stops_nobody_and_drops_are_counted_and_told(pipe: Pipe) -> None:
    filled = pipe.fill()
    handle = logs.start(JSON, fd=pipe.writer, capacity=100)
    log = structlog.get_logger()
    began = time.monotonic()
    for number in range(1000):
        log.info("x", number=number)
    assert time.monotonic() - began < 20
    assert 500 < handle.dropped <= 900  # 100 in the queue and what the writer took before it got stuck
    dropped = handle.dropped
    pipe.skip(filled)  # somebody reads again
    while handle._writer._queue.qsize():
        time.sleep(0.01)
    log.info("after")
    assert handle.close()
    events = pipe.events()
    assert sum(event["count"] for event in events if event["event"] == "log events dropped") == dropped
    assert sum(event["event"] == "x" for event in events) == 1000 - dropped
    assert events[-1]["event"] in ("after", "log events dropped")


def test_close_gives_up_on_a_pipe_that_stays_full(pipe: Pipe) -> None:
    filled = pipe.fill()
    handle = logs.start(JSON, fd=pipe.writer)
    structlog.get_logger().info("x")
    began = time.monotonic()
    assert not handle.close(timeout=0.1)
    assert time.monotonic() - began < 20
    pipe.skip(filled)  # lets the thread end
    assert handle.close()


def test_what_comes_after_the_end_is_counted(pipe: Pipe) -> None:
    handle = logs.start(JSON, fd=pipe.writer)
    assert handle.close()
    structlog.get_logger().info("late")
    assert (handle.dropped, pipe.events()) == (1, [])


def test_a_reader_that_left_is_counted_and_harms_nobody(pipe: Pipe) -> None:
    os.close(pipe.reader)
    pipe.reader = os.open(os.devnull, os.O_RDONLY)
    handle = logs.start(JSON, fd=pipe.writer)
    structlog.get_logger().info("x")
    assert handle.close()
    assert handle.dropped == 1


def test_a_descriptor_made_non_blocking_by_somebody_loses_nothing(pipe: Pipe) -> None:
    filled = pipe.fill()
    os.set_blocking(pipe.writer, False)
    handle = logs.start(JSON, fd=pipe.writer)
    structlog.get_logger().info("x")
    time.sleep(0.05)
    pipe.skip(filled)
    assert handle.close()
    assert [event["event"] for event in pipe.events()] == ["x"]


def test_the_process_ends_in_peace_with_nobody_reading() -> None:
    """A daemon thread that holds a stream's lock would abort the interpreter; the writer holds none."""
    code = (
        "import os, structlog\n"
        "from config.model import Logs\n"
        "from guardian import logs\n"
        "handle = logs.start(Logs(format='json'))\n"
        "for number in range(5000): structlog.get_logger().info('x' * 200)\n"
        "handle.close(0.2)\n"
        "print('ended')\n"
    )
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writer, timeout=60, check=False
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert (done.returncode, done.stdout) == (0, b"ended\n")


def test_rate_limited_lets_one_a_period_through_and_counts_the_rest() -> None:
    limited = logs.RateLimited(period=1.0)
    assert [limited.admit(now) for now in (10.0, 10.5, 10.9, 11.0, 11.5, 12.5)] == [0, None, None, 2, None, 1]
