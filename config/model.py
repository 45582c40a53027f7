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
Tag = Annotated[str, Meta(pattern=r"^[A-Z0-9]{2}$", description="two upper-case letters or digits")]
# `extra` says how the file writes the number: a duration (`10s`), a size (`256KiB`) or a rate (`2000/s`).
Seconds = Annotated[float, Meta(gt=0, extra={"unit": "duration"})]
SecondsOrZero = Annotated[float, Meta(ge=0, extra={"unit": "duration"})]
Bytes = Annotated[int, Meta(ge=1, extra={"unit": "size"})]
Rate = Annotated[float, Meta(ge=1, extra={"unit": "rate"})]  # per second; less than one is used up by pings
Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Code = Annotated[str, Meta(pattern=r"^[A-Z0-9]{4}$", description="four upper-case letters or digits")]


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
    INJECT = "inject"  # the proxy puts in an AG of its own and restores the client's, where the device repeats it
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


class WritesMode(enum.Enum):
    """Where a command that changes a device goes."""

    REPLICATE = "replicate"  # to the primary first, then to every other device in sync
    PRIMARY = "primary"  # to the primary alone; the others get it by the operator's own means
    BALANCE = "balance"  # to any one device, never twice; devices share by themselves what they keep
    REJECT = "reject"  # nowhere


class Nondeterministic(enum.Enum):
    """What becomes of a write that two devices would answer differently: it runs on one device only."""

    STALE = "stale"  # on the primary; the others are behind, unless the answer carries the key and no slot is named
    PRIMARY = "primary"  # on the primary; nobody is behind
    REJECT = "reject"  # nowhere


class PrimaryLoss(enum.Enum):
    PROMOTE = "promote"  # a production device in sync takes the primary's place for writes
    REFUSE = "refuse"  # writes are refused until the primary is back


@attrs.frozen(kw_only=True)
class Writes:
    mode: WritesMode | None = None  # by default as `Group.writes_mode` says
    quorum: Annotated[
        str, Meta(pattern=r"^(all|majority|[1-9][0-9]{0,3})$", description="all, majority, or a number of devices")
    ] = "all"
    nondeterministic: Nondeterministic = Nondeterministic.STALE
    primary_loss: PrimaryLoss = PrimaryLoss.REFUSE
    varying: tuple[Code, ...] = ("TIME",)  # answers of two devices may differ, and both have done the same
    slot_fields: tuple[Tag, ...] = ("BD",)  # name a slot of the key table, in a request or an answer
    key_fields: tuple[Tag, ...] = ("RC", "BG")  # of an answer: carry a new key itself
    journal: Path | None = None  # where intents are written down before a write leaves


@attrs.frozen(kw_only=True)
class FieldValue:
    """A field of an answer and the value it has to have."""

    tag: Tag
    value: Annotated[
        str,
        Meta(pattern=r"^[ -:<-Z\\^-~]{0,64}$", description="at most 64 printable ASCII characters, without ; [ and ]"),
    ]


@attrs.frozen(kw_only=True)
class LoginRule:
    command: Code
    success: FieldValue


@attrs.frozen(kw_only=True)
class Sessions:
    """How clients log in, and how their logins follow them from device to device."""

    login: tuple[LoginRule, ...] = (LoginRule(command="RKLG", success=FieldValue(tag="AN", value="Y")),)
    logout: tuple[Code, ...] = ()
    logins_required: Annotated[int, Meta(ge=1, le=2)] = 1  # 2 where the device is in FIPS mode
    replay: bool = True  # False: a client that logs in stays on one device
    token: tuple[Tag, ...] = ("JW",)  # an answer to a login with such a field is worth something on that device only
    login_needed: tuple[FieldValue, ...] = (FieldValue(tag="BB", value="LOGIN REQUIRED"),)  # of an ERRO answer
    idle: Seconds = 300.0  # a connection unused for that long is closed
    max_age: Seconds = 900.0  # of a login on a connection
    max_requests: Count = 7500  # on one login
    share: Literal["identity", "none"] = "identity"
    failures: Count = 5  # refused logins of one identity within `failure_window`; further ones reach no device
    failure_window: Seconds = 60.0
    last_parts: tuple[Code, ...] = ("DRKV", "PEDV")  # with their answer an exchange of pinned commands is over
    hold: Seconds = 30.0  # how long a connection waits for the next part


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


class LikenessAction(enum.Enum):
    """What becomes of a device that is not like its primary."""

    OBSERVE = "observe"  # it serves; it is told and shown
    ENFORCE = "enforce"  # it is unsafe, and serves nothing before it was shown alike


@attrs.frozen(kw_only=True)
class Probe:
    """A request that every device of a group must answer alike."""

    request: str
    compare: Literal["body"] | tuple[Tag, ...] = "body"  # the whole answer but its AG, or these fields of it
    key_table: bool | None = None  # its answer shows the key table; by default where the command is GPKM

    @property
    def shows_key_table(self) -> bool:
        return self.request[3:7] == "GPKM" if self.key_table is None else self.key_table


# What is asked in a group of HSMs where the file says nothing: both are open before login and change nothing.
DEFAULT_PROBES: Final = (Probe(request="[AOECHO;]"), Probe(request="[AOGPKM;]"))


@attrs.frozen(kw_only=True)
class SerialPin:
    """Where a device says its serial number; each device's own is its ``serial``."""

    serial: Tag  # the field that holds it
    request: str = "[AOHASH;]"


@attrs.frozen(kw_only=True)
class Identity:
    """How the devices of a group are shown to be alike."""

    probes: tuple[Probe, ...] | None = None  # by default as `Group.probes` says
    interval: Seconds = 60.0
    timeout: Seconds = 5.0  # for the answer to one probe
    action: LikenessAction = LikenessAction.OBSERVE
    pin: SerialPin | None = None


@attrs.frozen(kw_only=True)
class Device:
    name: Name
    address: Bind
    role: Role = Role.PRODUCTION
    weight: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    connections: Count = 8  # shared connections; must reach what the device does in parallel
    pipeline: Count = 1  # requests outstanding on one connection
    outstanding: Count = 32
    rate: Rate | None = None  # its licence: requests per second that it is sent at most
    private: Annotated[int, Meta(ge=0)] = 256  # connections of pinned clients
    balancing: bool = True
    ping_timeout: Seconds | None = None  # by default the group's
    framing: Framing | None = None  # by default the group's
    connect_timeout: Seconds = 3.0  # TCP and TLS together
    serial: str | None = None  # the serial number that `identity.pin` must find
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
    sessions: Sessions = Sessions()
    identity: Identity = Identity()
    writes: Writes = Writes()
    functions: Functions = Functions()
    nested: Mapping[Nesting, NestedTag] = attrs.field(factory=dict)
    clients: tuple[ClientRule, ...] = ()
    unmatched: Literal["group", "refuse"] = "group"
    devices: tuple[Device, ...]

    @property
    def writes_mode(self) -> WritesMode:
        """Where writes go: HSMs have key tables of their own, key management servers one database."""
        by_type = WritesMode.REPLICATE if self.type is GroupType.HSM else WritesMode.BALANCE
        return by_type if self.writes.mode is None else self.writes.mode

    @property
    def probes(self) -> tuple[Probe, ...]:
        """What its devices are asked to see that they are alike."""
        if self.identity.probes is None:
            return DEFAULT_PROBES if self.type is GroupType.HSM else ()
        return self.identity.probes


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
