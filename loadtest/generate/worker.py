"""One process of a run: ``python -m loadtest.generate.worker INDEX DESCRIPTOR``, started by `crew`.

The descriptor is a pipe of lines: the scenario, the moment to start (seconds of the monotonic clock, which all
processes of a machine share), and perhaps a word to stop, as is the pipe's end. On standard output: `tally.Told`.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, Final

import msgspec

from config.model import TlsMode
from loadtest.compare.cpu import PROC
from loadtest.framing import Framing

from .arrivals import Share, arrivals
from .connection import Peer
from .engine import Engine
from .mix import Mix
from .scenario import Login, Scenario, Tls
from .tally import Ending, Ready, Told

_PIPE: Final = 1_048_576  # bytes: room for several seconds, so that a parent that is busy does not stop the loop


class SetUpError(Exception):
    """Something that the run needs cannot be had; the text says what."""


def encode_scenario(scenario: Scenario) -> bytes:
    return msgspec.json.encode(scenario, enc_hook=str)


def decode_scenario(line: bytes) -> Scenario:
    def path(kind: type[Any], value: Any) -> Any:
        return kind(value) if kind is Path else value

    return msgspec.json.decode(line, type=Scenario, dec_hook=path)


def tls_context(tls: Tls) -> ssl.SSLContext | None:
    """Raises SetUpError."""
    if tls.mode is TlsMode.CLEAR:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = tls.verify == "name"
    for file in tls.ca:
        try:
            context.load_verify_locations(file)
        except OSError as exc:
            raise SetUpError(f"{file}: the CA cannot be read ({_why(exc)})") from exc
    if tls.mode is TlsMode.MUTUAL and tls.certificate is not None:
        password = first_line(tls.key_password_file) if tls.key_password_file is not None else ""
        try:
            context.load_cert_chain(tls.certificate, tls.key, password)
        except OSError as exc:
            raise SetUpError(f"{tls.certificate}: certificate and key cannot be used ({_why(exc)})") from exc
    return context


def peers(scenario: Scenario) -> list[Peer]:
    """Names are looked up here, once. Raises SetUpError."""
    context = tls_context(scenario.tls)
    found = []
    for target in scenario.target:
        try:
            family, _, _, _, address = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)[0]
        except OSError as exc:
            raise SetUpError(f"{target}: the name is not known ({_why(exc)})") from exc
        name = scenario.tls.name or target.host
        framing = Framing(scenario.framing)
        found.append(Peer(family=family, address=address, context=context, name=name, framing=framing))
    return found


def login_messages(login: Login | None) -> list[bytes]:
    """The RKLG messages that connections take in turns. Raises SetUpError, which holds nothing of a password."""
    if login is None:
        return []
    users: list[tuple[str, str]] = []
    if login.user is not None:
        users.append((login.user, "" if login.password_file is None else first_line(login.password_file)))
    if login.users_file is not None:
        for number, line in enumerate(_text(login.users_file).splitlines(), 1):
            name, colon, password = line.partition(":")
            if line.strip() and not colon:
                raise SetUpError(f"{login.users_file}:{number}: is no NAME:PASSWORD")
            if line.strip():
                users.append((name, password))
        if not users:
            raise SetUpError(f"{login.users_file}: names nobody, would be right: lines NAME:PASSWORD")
    for name, password in users:
        if not (name + password).isascii() or any(mark in name + password for mark in ";[]"):
            raise SetUpError("a user's name or password has a ; [ or ] or is not ASCII: no message can hold it")
    return [f"[AORKLG;DA{name};{f'CH{password};' if password else ''}]".encode() for name, password in users]


def first_line(file: Path) -> str:
    return _text(file).split("\n", 1)[0].rstrip("\r")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as exc:
        raise SetUpError(f"{file}: cannot be read ({_why(exc)})") from exc
    except UnicodeDecodeError as exc:
        raise SetUpError(f"{file}: is not UTF-8 text") from exc


def _why(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or "not PEM").lower().replace("_", " ")
    return (exc.strerror or str(exc)).lower()


def _schedule_times() -> tuple[float, float]:
    """Seconds that this process ran, and that it waited for a core; zeros where the system does not tell."""
    with suppress(OSError, ValueError):
        running, waiting, _ = (PROC / "self" / "schedstat").read_text().split()
        return int(running) / 1e9, int(waiting) / 1e9
    return 0.0, 0.0


def _stopper(control: BinaryIO) -> Callable[[], bool]:
    """Whether the parent said something, or is gone."""

    def stop() -> bool:
        return bool(select.select([control], [], [], 0)[0])

    return stop


def run(index: int, control: BinaryIO, out: BinaryIO) -> None:
    """Raises SetUpError before anything was sent."""
    encoder = msgspec.json.Encoder()

    def tell(told: Told) -> None:
        out.write(encoder.encode(told) + b"\n")
        out.flush()

    scenario = decode_scenario(control.readline())
    share = Share(index=index, count=scenario.processes)
    random = Random(f"{scenario.seed}.{index}")
    engine = Engine(
        scenario,
        share,
        peers(scenario),
        login_messages(scenario.login),
        arrivals(scenario.phases, share, random if scenario.arrivals == "poisson" else None),
        Mix(scenario.mix, Random(f"{scenario.seed}.{index}.mix"), index),
        lambda second: tell(Told(second=second)),
    )
    events = engine.connect()
    wanted = len(share.numbers(scenario.connections))
    tell(Told(ready=Ready(connected=engine.connected, wanted=wanted, events=events)))
    line = control.readline()
    if not line:
        return
    start = float(line)
    gc.collect()
    gc.disable()  # the run is bounded, and a full collection would be a late send
    before, times = time.process_time(), _schedule_times()
    engine.run(start, _stopper(control))
    ran, waited = (after - first for after, first in zip(_schedule_times(), times, strict=True))
    cpu, seconds = time.process_time() - before, time.monotonic() - start
    tell(Told(ending=Ending(cpu=cpu, wanted=ran + waited, waiting=waited, seconds=seconds)))


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    with suppress(OSError):  # wake on time: 1 µs instead of 50
        Path("/proc/self/timerslack_ns").write_text("1000")
    with suppress(OSError):
        fcntl.fcntl(sys.stdout, fcntl.F_SETPIPE_SZ, _PIPE)
    try:
        with os.fdopen(int(sys.argv[2]), "rb", buffering=0) as control:
            run(int(sys.argv[1]), control, sys.stdout.buffer)
    except SetUpError as exc:
        sys.exit(str(exc))
    except BrokenPipeError:
        sys.stderr.close()  # the parent is gone


if __name__ == "__main__":
    main()
