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
    """one message whose command changes nothing"""
    accept: Literal["success", "answer"] = "success"
    """a good ping is one that is answered without `ERRO`; or with any well-formed answer"""
    interval: Seconds = 2.0
    """from one ping to the next"""
    timeout: Seconds = 1.0
    """for one ping; at most `interval`"""
    fall: Count = 3
    """failed pings in a row after which a device is down"""
    rise: Count = 2
    """good pings in a row after which it may come back"""


@attrs.frozen(kw_only=True)
class Balancing:
    policy: Policy = Policy.LEAST_OUTSTANDING
    """the least outstanding work (learnt per device and command), the fewest outstanding requests, or each in turn;
    all by weight
    """


@attrs.frozen(kw_only=True)
class Ejection:
    failures: Count = 5
    """failed requests in a row"""
    base: Seconds = 30.0
    """the first ejection; each further one is longer"""
    max: Seconds = 300.0
    """the longest ejection"""
    error_rate: Share = 0.5
    """share of ERRO answers that ejects a device whose peers have less than half of it"""
    errors: tuple[str, ...] = ()
    """`AM` numbers of ERRO answers that name the device itself as broken"""


@attrs.frozen(kw_only=True)
class Queue:
    size: Annotated[int, Meta(ge=0)] = 1024
    """requests that may wait"""
    timeout: Seconds = 1.0
    """for a wait"""


@attrs.frozen(kw_only=True)
class Retries:
    attempts: Annotated[int, Meta(ge=0, le=16)] = 2
    """how often a request may be sent again"""
    attempt_timeout: Seconds = 1.0
    """after which an unanswered read goes to another device too; at most `request_timeout`"""
    budget: Annotated[float, Meta(ge=0, le=10)] = 0.2
    """resends per request, over time"""
    reserve: Annotated[int, Meta(ge=0)] = 100
    """resends allowed at once beyond the budget"""


@attrs.frozen(kw_only=True)
class Group:
    name: Name
    """its name in logs, metrics and commands"""
    type: GroupType = GroupType.HSM
    """hardware security modules, or key management servers (KMES)"""
    framing: Framing = Framing.EXCRYPT
    """towards the devices"""
    tls: DeviceTls = DeviceTls()
    """TLS towards the devices"""
    ping: Ping = Ping()
    """the periodic check"""
    balancing: Balancing = Balancing()
    """how a device is picked"""
    ejection: Ejection = Ejection()
    """when a failing device is taken out"""
    slow_start: SecondsOrZero = 15.0
    """for which a returning device gets less than its share; `0s` switches it off"""
    request_timeout: Seconds = 10.0
    """for a request, its retries and its wait in the queue together"""
    answer: Bytes = 1_048_576
    """the longest answer taken from a device"""
    context: Context = Context.VERIFY
    """how the `AG` field is used to tell whose an answer is; see above"""
    queue: Queue = Queue()
    """waiting requests"""
    retries: Retries = Retries()
    """sending again"""
    sessions: Sessions = Sessions()
    """how clients log in, and how their logins follow them"""
    identity: Identity = Identity()
    """how its devices are shown to be alike"""
    writes: Writes = Writes()
    """commands that change devices"""
    functions: Functions = Functions()
    """commands that are allowed and blocked"""
    nested: Mapping[Nesting, NestedTag] = attrs.field(factory=dict)
    """where a KMES command says which command it carries"""
    clients: tuple[ClientRule, ...] = ()
    """narrower rules for single clients"""
    unmatched: Literal["group", "refuse"] = "group"
    """a client that no rule matches gets the group's rules, or is refused everything"""
    devices: tuple[Device, ...]
    """its devices"""

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
