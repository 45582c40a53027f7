"""What is counted: a table of cases, each a way of sending requests through, or one part of that way."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from balancer.wire.frames import answer_decoder, request_decoder
from balancer.wire.message import answers, parse_request
from config.model import Framing

from .door import Door
from .rig import Rig

# As the comparison's load has them: 64 to 300 bytes.
ECHO = b"[AOECHO;BG%b;AG1234567;]" % (b"A" * 150)
WRITE = b"[AOASYL;BD%b;RC%b;AG1234567;]" % (b"12", b"A" * 150)
_FRAMES = 8  # in one read, where several come together
_LIMIT = 65_536

Run = Callable[[int], None]  # does its one thing so many times
Made = tuple[Run, Callable[[], None]]  # and how to end it


@attrs.frozen
class Case:
    name: str
    about: str
    make: Callable[[], Made]
    unit: int  # of the runs that are counted: so many times, and twice as many


def _shared(clients: int, pipeline: int, connections: int) -> Callable[[], Made]:
    """``clients`` requests at a time, over shared connections."""

    def make() -> Made:
        rig = Rig(clients=clients, pipeline=pipeline, connections=connections)
        return (lambda times: rig.ask(ECHO, times // clients)), rig.close

    return make


def _sessions(clients: int) -> Callable[[], Made]:
    def make() -> Made:
        rig = Rig(clients=clients, pipeline=1, connections=8)
        rig.log_in()
        return (lambda times: rig.ask(ECHO, times // clients)), rig.close

    return make


def _writes() -> Made:
    rig = Rig(clients=8, pipeline=1, connections=8)
    return (lambda times: rig.ask(WRITE, times // 8)), rig.close


def _connections() -> Made:
    door = Door()
    return (lambda times: door.come(ECHO, times)), door.close


def _requests_decoded() -> Made:
    def run(times: int) -> None:
        decoder = request_decoder(Framing.EXCRYPT, _LIMIT)
        data = ECHO * _FRAMES
        for _ in range(times // _FRAMES):
            decoder.receive(data)
            while (frame := decoder.next_frame()) is not None:
                parse_request(frame)

    return run, _nothing


def _answers_matched() -> Made:
    def run(times: int) -> None:
        decoder = answer_decoder(Framing.EXCRYPT, _LIMIT)
        data = ECHO * _FRAMES
        for _ in range(times // _FRAMES):
            decoder.receive(data)
            while (frame := decoder.next_frame()) is not None:
                assert answers(frame, b"ECHO", b"1234567")

    return run, _nothing


def _nothing() -> None:
    """Bytes need no end."""


CASES = (
    Case("shared, 1 client", "pipeline 1, 8 connections to each of 3 devices", _shared(1, 1, 8), 64),
    Case("shared, 8 clients", "the same", _shared(8, 1, 8), 256),
    Case("shared, 64 clients", "the same: more clients than connections, so some wait", _shared(64, 1, 8), 512),
    Case("deep, 8 clients", "pipeline 64, 1 connection to each of 3 devices", _shared(8, 64, 1), 256),
    Case("deep, 64 clients", "the same", _shared(64, 64, 1), 512),
    Case("sessions, 64 clients", "each logged in, with connections of its own", _sessions(64), 512),
    Case("write, 8 clients", "in one order to all three devices", _writes, 64),
    Case("connection, 1 request", "accepted, checked, served, gone; its handshake without OpenSSL", _connections, 64),
    Case("request decoded", "eight in one read, cut and checked", _requests_decoded, 512),
    Case("answer matched", "eight in one read, cut and compared", _answers_matched, 512),
)
