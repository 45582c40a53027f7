"""What a configuration says, one frozen class per section.

Durations are seconds and sizes are bytes here; units exist only in the YAML file. Paths are absolute: the loader
resolves them against the file's folder. Every default is stated here and nowhere else.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import attrs
from msgspec import Meta

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$",
        description="letters, digits, _ . and -, starting with a letter or digit, at most 63 characters",
    ),
]
# `extra` says how the file writes the number: a duration (`10s`) or a size (`256KiB`).
Seconds = Annotated[float, Meta(gt=0, extra={"unit": "duration"})]
SecondsOrZero = Annotated[float, Meta(ge=0, extra={"unit": "duration"})]
Bytes = Annotated[int, Meta(ge=1, extra={"unit": "size"})]
Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class TlsMode(enum.Enum):
    """How a connection is protected; in brackets what a Guardian Series 3 calls it."""

    MUTUAL = "mutual"  # both sides show a certificate (SSL)
    SERVER = "server"  # only the server does (Anonymous TLS)
    CLEAR = "clear"  # no TLS (Clear)


class Framing(enum.Enum):
    """How messages are told apart on a connection."""

    EXCRYPT = "excrypt"  # from [ to ], nothing else
    LENGTH2 = "length2"  # a two-byte big-endian length before each message
    LENGTH4 = "length4"  # a four-byte big-endian length before each message


class Verify(enum.Enum):
    """What of a device's certificate is checked beyond its chain."""

    NAME = "name"  # SAN, or Common Name where there is no SAN, equals the expected name
    FINGERPRINT = "fingerprint"  # SHA-256 of the whole certificate
    CA = "ca"  # nothing more: any server certificate of the CA


class Role(enum.Enum):
    """A device's place in its group, as on a Guardian Series 3."""

    PRIMARY = "primary"  # the first device; its settings replicate to the others; serves like production
    PRODUCTION = "production"
    BACKUP = "backup"  # serves only while a production device is out of service


class Policy(enum.Enum):
    LEAST_OUTSTANDING = "least_outstanding"  # least outstanding work, learnt per device and command
    LEAST_OUTSTANDING_COUNT = "least_outstanding_count"
    ROUND_ROBIN = "round_robin"


class FunctionsMode(enum.Enum):
    ENFORCE = "enforce"
    DETECT = "detect"  # count and log what would be blocked, block nothing
    OFF = "off"


class GroupType(enum.Enum):
    HSM = "hsm"
    KMS = "kms"


class Context(enum.Enum):
    """Whether an answer's AG field must repeat the request's."""

    VERIFY = "verify"  # if the request had AG, the answer must have the same
    OFF = "off"


class Nesting(enum.Enum):
    """Commands of the KMES Host API that carry commands of their own."""

    RKRL = "RKRL"
    CLCR = "CLCR"


@attrs.frozen(kw_only=True)
class Bind:
    """An address to listen on: ``host:port``, ``[v6]:port``; port 0 lets the kernel choose."""

    host: str
    port: Port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen(kw_only=True)
class ListenerTls:
    mode: TlsMode = TlsMode.MUTUAL
    certificate: Path | None = None  # PEM (leaf first) or PKCS #12
    key: Path | None = None  # PEM, encrypted PEM or PKCS #12; by default in the certificate's file
    key_password_file: Path | None = None
    ca: tuple[Path, ...] = ()
    crl: tuple[Path, ...] = ()
    min_version: Literal["1.2", "1.3"] = "1.2"
    client_auth: Literal["required", "if_present"] = "required"  # must a client's certificate say clientAuth?


@attrs.frozen(kw_only=True)
class Limits:
    connections: Count = 4096
    message: Bytes = 262_144
    pipeline: Count = 16  # answers a client may be owed before it is read no further
    idle: Seconds = 600.0
    handshake: Seconds = 10.0  # from accept to the end of the TLS handshake
    handshakes: Count = 256  # connections at once that have not finished their handshake; the oldest makes room
    message_time: Seconds = 30.0  # from a message's first byte to its last, and for a client to take its answers


@attrs.frozen(kw_only=True)
class Listener:
    name: Name
    bind: Bind
    group: Name
    framing: Framing = Framing.EXCRYPT
    tls: ListenerTls = ListenerTls()
    limits: Limits = Limits()


@attrs.frozen(kw_only=True)
class DeviceTls:
    """TLS towards a device. A device's own section overrides its group's, key by key."""

    mode: TlsMode = TlsMode.MUTUAL
    certificate: Path | None = None
    key: Path | None = None
    key_password_file: Path | None = None
    ca: tuple[Path, ...] = ()
    crl: tuple[Path, ...] = ()
    verify: Verify = Verify.NAME
    name: str | None = None  # by default the host of the device's address
    fingerprint: str | None = None  # "sha256:<64 hex digits>", colons between pairs allowed in the file
    min_version: Literal["1.2", "1.3"] = "1.2"


@attrs.frozen(kw_only=True)
class Ping:
    request: str = "[AOECHO;AGping;]"
    accept: Literal["success", "answer"] = "success"  # with `answer` a well-formed ERRO is a good ping too
    interval: Seconds = 2.0
    timeout: Seconds = 1.0
    fall: Count = 3
    rise: Count = 2


@attrs.frozen(kw_only=True)
class Balancing:
    policy: Policy = Policy.LEAST_OUTSTANDING


@attrs.frozen(kw_only=True)
class Ejection:
    failures: Count = 5  # failed requests in a row
    base: Seconds = 30.0
    max: Seconds = 300.0
    error_rate: Share = 0.5  # share of ERRO answers, where the device's peers have less than half of it
    errors: tuple[str, ...] = ()  # AM numbers of ERRO answers that name the device itself as broken


@attrs.frozen(kw_only=True)
class Queue:
    size: Annotated[int, Meta(ge=0)] = 1024
    timeout: Seconds = 1.0


@attrs.frozen(kw_only=True)
class Retries:
    attempts: Annotated[int, Meta(ge=0, le=16)] = 2  # how often a request may be sent again
    attempt_timeout: Seconds = 1.0
    budget: Annotated[float, Meta(ge=0, le=10)] = 0.2  # resends per request, over time
    reserve: Annotated[int, Meta(ge=0)] = 100  # resends allowed at once beyond the budget


@attrs.frozen(kw_only=True)
class Functions:
    mode: FunctionsMode = FunctionsMode.ENFORCE
    allow: tuple[str, ...] = ("*",)
    block: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class NestedTag:
    """Where a command says which nested command it carries."""

    tag: Annotated[str, Meta(pattern=r"^[A-Z0-9]{2}$", description="a tag: two upper-case letters or digits")]
    value: Literal["whole", "start"] = "whole"  # the value is the nested command's four letters, or begins with them


@attrs.frozen(kw_only=True)
class Match:
    """What of a client's certificate a rule compares; all that is given must agree."""

    common_name: str | None = None
    san: str | None = None
    fingerprint: str | None = None


@attrs.frozen(kw_only=True)
class ClientRule:
    match: Match
    functions: Functions


@attrs.frozen(kw_only=True)
class Device:
    name: Name
    address: Bind
    role: Role = Role.PRODUCTION
    weight: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    connections: Count = 8  # shared connections; must reach what the device does in parallel
    pipeline: Count = 1  # requests outstanding on one connection
    outstanding: Count = 32
    private: Annotated[int, Meta(ge=0)] = 256  # connections of pinned clients
    balancing: bool = True
    ping_timeout: Seconds | None = None  # by default the group's
    framing: Framing | None = None  # by default the group's
    connect_timeout: Seconds = 3.0  # TCP and TLS together
    tls: DeviceTls = DeviceTls()  # the loader has merged the group's into it


@attrs.frozen(kw_only=True)
class Group:
    name: Name
    type: GroupType = GroupType.HSM
    framing: Framing = Framing.EXCRYPT
    tls: DeviceTls = DeviceTls()
    ping: Ping = Ping()
    balancing: Balancing = Balancing()
    ejection: Ejection = Ejection()
    slow_start: SecondsOrZero = 15.0  # 0 switches it off
    request_timeout: Seconds = 10.0
    answer: Bytes = 1_048_576  # the longest answer taken from a device
    context: Context = Context.VERIFY
    queue: Queue = Queue()
    retries: Retries = Retries()
    functions: Functions = Functions()
    nested: Mapping[Nesting, NestedTag] = attrs.field(factory=dict)
    clients: tuple[ClientRule, ...] = ()
    unmatched: Literal["group", "refuse"] = "group"
    devices: tuple[Device, ...]


@attrs.frozen(kw_only=True)
class AdminTls:
    certificate: Path
    key: Path | None = None
    key_password_file: Path | None = None
    ca: tuple[Path, ...] = ()  # given: clients must show a certificate of it


@attrs.frozen(kw_only=True)
class Admin:
    bind: Bind = Bind(host="127.0.0.1", port=9190)
    token_file: Path | None = None
    tls: AdminTls | None = None
    buckets: tuple[Seconds, ...] = (
        0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    )  # fmt: skip


@attrs.frozen(kw_only=True)
class ErrorText:
    """How one answer of the proxy's own reads: ``AM`` and ``BB`` of it."""

    number: Annotated[int, Meta(ge=0, le=99999)]
    text: Annotated[
        str,
        Meta(
            pattern=r"^[ !-:<-Z\\^-~]{1,64}$",
            description="1 to 64 printable ASCII characters, without ; [ and ]",
        ),
    ]


class Refusal(enum.Enum):
    """What the proxy answers itself; the value is the key under ``errors:``."""

    BLOCKED = "blocked"
    NO_DEVICE = "no_device"
    OUTCOME_UNKNOWN = "outcome_unknown"
    BUSY = "busy"
    TIMED_OUT = "timed_out"
    MALFORMED = "malformed"
    TOO_LONG = "too_long"
    SHUTTING_DOWN = "shutting_down"
    LOGIN_LOST = "login_lost"


DEFAULT_ERRORS: Final[Mapping[Refusal, ErrorText]] = {
    Refusal.BLOCKED: ErrorText(number=901, text="FUNCTION BLOCKED"),
    Refusal.NO_DEVICE: ErrorText(number=902, text="NO DEVICE AVAILABLE"),
    Refusal.OUTCOME_UNKNOWN: ErrorText(number=903, text="OUTCOME UNKNOWN"),
    Refusal.BUSY: ErrorText(number=904, text="BUSY"),
    Refusal.TIMED_OUT: ErrorText(number=905, text="TIMED OUT"),
    Refusal.MALFORMED: ErrorText(number=906, text="MALFORMED MESSAGE"),
    Refusal.TOO_LONG: ErrorText(number=907, text="MESSAGE TOO LONG"),
    Refusal.SHUTTING_DOWN: ErrorText(number=908, text="SHUTTING DOWN"),
    Refusal.LOGIN_LOST: ErrorText(number=909, text="LOGIN LOST"),
}


@attrs.frozen(kw_only=True)
class Logs:
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"  # auto: text on a terminal, else JSON


@attrs.frozen(kw_only=True)
class Shutdown:
    timeout: Seconds = 30.0  # for outstanding requests after SIGTERM


@attrs.frozen(kw_only=True)
class Config:
    listeners: tuple[Listener, ...]
    groups: tuple[Group, ...]
    admin: Admin = Admin()
    workers: Literal[1] = 1
    catalogue: Path | None = None  # commands that extend or override the shipped catalogue
    errors: Mapping[Refusal, ErrorText] = attrs.field(factory=lambda: dict(DEFAULT_ERRORS))
    logs: Logs = Logs()
    shutdown: Shutdown = Shutdown()

    def group(self, name: str) -> Group:
        """The group of that name. Raises KeyError; the loader has seen to it that listeners name real ones."""
        for group in self.groups:
            if group.name == name:
                return group
        raise KeyError(name)
