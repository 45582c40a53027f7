"""What is asked of whom: the whole of a run, as a file or the options of the command say it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import attrs
from msgspec import Meta

from config.model import Bind, TlsMode
from config.model.values import Bytes, Code, Count, Name, Seconds, SecondsOrZero

PerSecond = Annotated[float, Meta(ge=0, le=10_000_000, extra={"unit": "rate"})]
Fields = Annotated[
    str,
    Meta(
        pattern=r"^(?!.*(^|;)A[OG])([A-Z0-9]{2}[ -:<-Z\\^-~]*(;|$))*$",
        description="fields such as RG3;BO00FF; without AO and AG, which are added",
    ),
]


@attrs.frozen(kw_only=True)
class Tls:
    mode: TlsMode = TlsMode.MUTUAL
    certificate: Path | None = None
    """PEM, own certificate first"""
    key: Path | None = None
    """PEM; by default it is in the certificate's file"""
    key_password_file: Path | None = None
    """a file with the password of the key, on one line"""
    ca: tuple[Path, ...] = ()
    """the CAs of the peer's certificate"""
    verify: Literal["name", "ca"] = "name"
    """what is checked of the peer: its name too, or its CA only"""
    name: str | None = None
    """the name in the peer's certificate; by default the host that is connected to"""


@attrs.frozen(kw_only=True)
class Login:
    """Each connection logs in with RKLG before its first request."""

    user: str | None = None
    password_file: Path | None = None
    """a file with the user's password, on one line"""
    users_file: Path | None = None
    """instead of one user: lines NAME:PASSWORD, which the connections take in turns"""


@attrs.frozen(kw_only=True)
class Command:
    """One kind of request of the mix."""

    command: Code
    name: Name | None = None
    """in the report; by default the command"""
    fields: Fields = ""
    weight: Annotated[float, Meta(gt=0)] = 1.0
    size: Bytes | None = None
    """the request is filled up with a BO field to so many bytes"""
    size_to: Bytes | None = None
    """then each has a size between the two"""

    @property
    def label(self) -> str:
        return self.name or self.command


@attrs.frozen(kw_only=True)
class Phase:
    """A stretch of time. Open loop: how many requests arrive; closed loop: how many connections take part."""

    duration: Seconds
    rate: PerSecond | None = None
    to_rate: PerSecond | None = None
    """a ramp: the rate at the phase's end"""
    burst: Count | None = None
    """so many arrive at the phase's start, at once: 20,000 a second for each process"""
    every: Seconds | None = None
    """and again each time that so much has passed"""
    clients: Annotated[int, Meta(ge=0)] | None = None
    to_clients: Annotated[int, Meta(ge=0)] | None = None
    """a ramp: the connections that take part at the phase's end"""
    measured: bool = True
    """false for a warm-up: its requests are not in the figures"""


@attrs.frozen(kw_only=True)
class Scenario:
    target: tuple[Bind, ...]
    """the connections take these in turns"""
    phases: tuple[Phase, ...]
    tls: Tls = Tls()
    framing: Literal["excrypt", "length2", "length4"] = "excrypt"
    loop: Literal["open", "closed"] = "open"
    arrivals: Literal["even", "poisson"] = "even"
    connections: Annotated[int, Meta(ge=1, le=100_000)] = 16
    depth: Annotated[int, Meta(ge=1, le=1024)] | None = None
    """requests that a connection may have outstanding; by default 16 in the open loop, 1 in the closed loop"""
    processes: Annotated[int, Meta(ge=1, le=64)] = 1
    mix: tuple[Command, ...] = (Command(command="ECHO"),)
    login: Login | None = None
    echo: bool = False
    """every answer must be its request, byte for byte, as echo devices give it"""
    timeout: Seconds = 10.0
    """of a request; its connection is then closed, and another one made"""
    connect_timeout: Seconds = 10.0
    late: SecondsOrZero = 0.001
    """a send that comes so much after its moment counts as late"""
    seed: Annotated[int, Meta(ge=0)] = 1
    """of what is drawn by chance: order of the mix, sizes, arrivals"""
    require: tuple[str, ...] = ()
    """such as p99<20ms, errors<0.1% or rate>1000/s; exit code 1 where one is not met"""

    @property
    def allowed(self) -> int:
        """Requests outstanding on one connection."""
        return self.depth if self.depth is not None else 16 if self.loop == "open" else 1

    @property
    def seconds(self) -> float:
        return sum(phase.duration for phase in self.phases)
