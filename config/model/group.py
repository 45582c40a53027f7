"""A group of devices, and how requests are spread over it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Literal

import attrs
from msgspec import Meta

from .device import Device
from .functions import ClientRule, Functions, NestedTag, Nesting
from .identity import DEFAULT_PROBES, Identity, Probe
from .listener import Framing
from .sessions import Sessions
from .tls import DeviceTls
from .values import Bytes, Count, Name, Seconds, SecondsOrZero, Share
from .writes import Writes, WritesMode


class Policy(enum.Enum):
    LEAST_OUTSTANDING = "least_outstanding"  # least outstanding work, learnt per device and command
    LEAST_OUTSTANDING_COUNT = "least_outstanding_count"
    ROUND_ROBIN = "round_robin"


class GroupType(enum.Enum):
    HSM = "hsm"
    KMS = "kms"


class Context(enum.Enum):
    """Whether an answer's AG field must repeat the request's."""

    VERIFY = "verify"  # if the request had AG, the answer must have the same
    INJECT = "inject"  # the proxy puts in an AG of its own and restores the client's, where the device repeats it
    OFF = "off"


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
