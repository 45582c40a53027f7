"""Asks the devices, several at a time: one connection each, the ping and the group's probes, all of them reads."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import trio

from balancer.transport.dial import DialError, dial
from balancer.wire.errors import FramingLost, MessageTooLong
from balancer.wire.frames import answer_decoder, encode
from balancer.wire.message import answers, is_error, parse_request
from config.credentials import CredentialError
from config.model import Device, Framing, Group
from guardian.contact import contact
from health.drift import sketch

from .device import OTHER_PORTS, Asked

_AT_ONCE: Final = 8  # devices
_PORT_TIMEOUT: Final = 2.0  # seconds, for another port of a device
_SALT: Final = secrets.token_bytes(16)
_READ: Final = 16_384


class _Silent(Exception):  # noqa: N818 - named for what happened
    """No answer that could be one. The text holds nothing of what came."""


async def ask_all(
    devices: Sequence[tuple[Group, Device]],
    told: Callable[[Asked], None] | None = None,
    other_ports: Sequence[int] = tuple(OTHER_PORTS),
) -> list[Asked]:
    """Ask each of them, in this order; ``told`` hears of each as it is done. Each step has a deadline."""
    found: dict[int, Asked] = {}
    limit = trio.CapacityLimiter(_AT_ONCE)

    async def one(number: int, group: Group, device: Device) -> None:
        async with limit:
            found[number] = await _ask(group, device, other_ports)
            if told is not None:
                told(found[number])

    async with trio.open_nursery() as nursery:
        for number, (group, device) in enumerate(devices):
            nursery.start_soon(one, number, group, device)
    return [found[number] for number in range(len(devices))]


async def _ask(group: Group, device: Device, other_ports: Sequence[int]) -> Asked:
    known = Asked(group=group, device=device)
    try:
        sock = await contact(device).connect()
    except CredentialError as exc:
        return attrs.evolve(known, unreached=str(exc), stranger=True)
    except DialError as exc:
        without_tls = not (exc.stranger or str(exc).startswith("TLS") or "resolved" in str(exc))
        ports = await _others(device, other_ports) if without_tls else {}
        return attrs.evolve(known, unreached=str(exc), stranger=exc.stranger, other_ports=ports)
    with contextlib.closing(sock):
        return await _talk(known, sock)


async def _talk(known: Asked, sock: socket.socket) -> Asked:
    group, device = known.group, known.device
    framing = device.framing or group.framing
    line = _Line(sock, framing, group.answer)
    known = attrs.evolve(known, ends=_ends(sock))
    began = time.monotonic()
    try:
        answer = await line.ask(group.ping.request, device.ping_timeout or group.ping.timeout)
    except _Silent as exc:
        return attrs.evolve(known, ping_fault=str(exc))
    if group.ping.accept != "answer" and is_error(answer):
        return attrs.evolve(known, ping_fault="it was answered with an error")
    known = attrs.evolve(known, ping=time.monotonic() - began)
    shown, faults = {}, {}
    for probe in group.probes:
        try:
            answer = await line.ask(probe.request, group.identity.timeout)
        except _Silent as exc:
            faults[probe.request[3:7]] = f"was not answered ({exc})"
            break  # the connection may owe an answer: what came next could be that one
        if is_error(answer):
            faults[probe.request[3:7]] = "was answered with an error"
        else:
            shown[probe] = sketch(answer, probe, _SALT)
    return attrs.evolve(known, shown=shown, probe_faults=faults)


class _Line:
    """One connection, on which one request at a time is asked."""

    def __init__(self, sock: socket.socket, framing: Framing, longest: int) -> None:
        self._sock = sock
        self._framing = framing
        self._decoder = answer_decoder(framing, longest)

    async def ask(self, request: str, timeout: float) -> bytes:
        """Raises `_Silent`."""
        message = request.encode("ascii")
        code, context = parse_request(message)
        with trio.move_on_after(timeout):
            try:
                await self._write(encode(self._framing, message))
                answer = await self._next()
            except (OSError, FramingLost, MessageTooLong) as exc:
                raise _Silent("the connection broke" if isinstance(exc, OSError) else "no Excrypt message") from exc
            if not answers(answer, code, context):
                raise _Silent("the answer is not one to it, or AG is not repeated")
            return answer
        raise _Silent(f"no answer within {timeout:g} s")

    async def _next(self) -> bytes:
        while (frame := self._decoder.next_frame()) is None:
            data = await self._read()
            if not data:
                raise ConnectionError
            self._decoder.receive(data)
        return frame

    async def _read(self) -> bytes:
        while True:
            try:
                return self._sock.recv(_READ)
            except (ssl.SSLWantReadError, BlockingIOError):
                await trio.lowlevel.wait_readable(self._sock)
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(self._sock)

    async def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[self._sock.send(data) :]
            except (ssl.SSLWantWriteError, BlockingIOError):
                await trio.lowlevel.wait_writable(self._sock)
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(self._sock)


async def _others(device: Device, ports: Sequence[int]) -> dict[int, str]:
    """Which of the vendor's other ports open; each is closed again at once."""
    tried: dict[int, str] = {}
    for port in ports:
        if port == device.address.port:
            continue
        try:
            sock = await dial(device.address.host, port, None, _PORT_TIMEOUT)
        except DialError as exc:
            tried[port] = str(exc)
        else:
            sock.close()
            tried[port] = ""
    return tried


def _ends(sock: socket.socket) -> float | None:
    if not isinstance(sock, ssl.SSLSocket):
        return None
    shown = sock.getpeercert()
    end = shown.get("notAfter") if shown else None
    return ssl.cert_time_to_seconds(str(end)) if end else None
