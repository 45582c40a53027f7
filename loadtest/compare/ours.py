"""Our proxy, run as a user runs it: `guardian run CONFIG`."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from loadtest.native.programs import Credentials

from .command import find_guardian
from .contenders import Contender
from .pki import Pki
from .processes import Processes, Program, ProgramError

READY_TIMEOUT: Final = 60.0
ADMIN_ATTEMPTS: Final = 3


@attrs.frozen(kw_only=True)
class DeviceUse:
    """How our proxy uses a device: requests outstanding on one connection, and how many connections."""

    pipeline: int
    connections: int

    @classmethod
    def of(cls, pipeline: int, connections: int = 0) -> DeviceUse:
        """By default 8 connections, as the product has, but no more than 64 outstanding need."""
        return cls(pipeline=pipeline, connections=connections or max(1, min(8, 64 // pipeline)))

    @property
    def name(self) -> str:
        return f"guardian {self.pipeline}x{self.connections}"


def _files(credentials: Credentials) -> str:
    return f"certificate: {credentials.certificate}, key: {credentials.key}, ca: [{credentials.ca}]"


@attrs.frozen(kw_only=True)
class Extras:
    """What is not as it usually is: YAML of ``limits`` of the listener, of ``balancing`` and ``queue`` of the group."""

    limits: str = "{}"
    balancing: str = "{}"
    queue: str = "{}"


def guardian_config(
    *, admin: str, pki: Pki, devices: Sequence[str], use: DeviceUse, workers: int = 1, extras: Extras | None = None
) -> str:
    """Everything on that a user would have on: mutual TLS both sides, name check, function rules, pings."""
    extras = extras or Extras()
    listener, upstream = _files(pki.listener), _files(pki.upstream)
    outstanding = max(32, use.pipeline * use.connections)
    limits = f"connections: {use.connections}, pipeline: {use.pipeline}, outstanding: {outstanding}"
    entries = "\n".join(
        f"      - {{name: hsm{i}, address: {address}, role: {'primary' if i == 1 else 'production'}, {limits}}}"
        for i, address in enumerate(devices, 1)
    )
    return f"""\
listeners:
  - name: excrypt
    bind: 127.0.0.1:0
    group: devices
    framing: excrypt
    tls: {{mode: mutual, {listener}}}
    limits: {extras.limits}
groups:
  - name: devices
    type: hsm
    balancing: {extras.balancing}
    queue: {extras.queue}
    tls: {{mode: mutual, {upstream}, verify: name}}
    functions: {{mode: enforce, allow: ["*"], block: [TIME, GPKD]}}
    devices:
{entries}
admin:
  bind: {admin}
workers: {workers}
"""


def _get(address: str, path: str) -> tuple[int, bytes]:
    """Status and body; status 0 when nobody answers."""
    connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port: int = chosen.getsockname()[1]
        return port


def _start_once(processes: Processes, config: Path, admin: str, name: str, command: Sequence[str | Path]) -> Program:
    program = processes.start(name, [*command, "run", config])
    try:
        program.wait_until(lambda: _get(admin, "/readyz")[0] == http.client.OK, timeout=READY_TIMEOUT)
    except ProgramError:
        processes.stop(program)
        raise
    return program


def start_guardian(
    processes: Processes,
    folder: Path,
    pki: Pki,
    devices: Sequence[str],
    use: DeviceUse,
    *,
    workers: int = 1,
    name: str = "",
    command: Sequence[str | Path] = (),
    extras: Extras | None = None,
) -> Contender:
    """Start it and wait until it is ready. Raises NotInstalledError, ProgramError.

    `name` is another one than that of its use of devices; `command` another way to call `guardian`.

    The admin port must be known before it starts, so another program may take it in between: then try another.
    """
    name = name or use.name
    config = folder / f"{name.replace(' ', '-')}.yaml"
    for attempt in range(1, ADMIN_ATTEMPTS + 1):
        admin = f"127.0.0.1:{_free_port()}"
        text = guardian_config(admin=admin, pki=pki, devices=devices, use=use, workers=workers, extras=extras)
        config.write_text(text)
        try:
            program = _start_once(processes, config, admin, name, command or [find_guardian()])
        except ProgramError as exc:
            if attempt == ADMIN_ATTEMPTS or "in use" not in str(exc):
                raise
            continue
        status = json.loads(_get(admin, "/status")[1])
        return Contender(name=name, addresses=[status["listeners"][0]["bind"]], program=program)
    raise AssertionError("the loop returns or raises")
