"""A client of the proxy over a fake group, without sockets: what it sends and what it is told."""

from __future__ import annotations

from typing import Any

from balancer.exchange import Exchange
from balancer.snapshot import Outcome
from config.model import DEFAULT_ERRORS, Framing, Functions, Limits, Role
from guardian.answers import Answers
from guardian.client import Client
from guardian.functions import GroupRules
from guardian.host import ClientSettings
from tests.support.core import CATALOGUE, FakeGroup, FakeLink, device_settings

ONE = device_settings("a", role=Role.PRIMARY, connections=8)
MALFORMED = b"[AOERRO;AM906;ANAO;BBMALFORMED MESSAGE;]"


class Listener:
    """Who owns the clients of a test."""

    def __init__(self) -> None:
        self.draining = False
        self.gone: list[Client] = []
        self.noticed: list[str] = []
        self.refused: list[Outcome] = []
        self.blocks: list[str] = []
        self.logins: list[tuple[str, str]] = []
        self.faults: list[Exception] = []

    def client_gone(self, client: Client) -> None:
        self.gone.append(client)

    def would_block(self, client: Client, code: str) -> None:
        self.noticed.append(code)

    def refused_request(self, client: Client, exchange: Exchange) -> None:
        self.refused.append(exchange.outcome)

    def blocked(self, client: Client, code: str) -> None:
        self.blocks.append(code)

    def login_ended(self, client: Client, code: str, result: str) -> None:
        self.logins.append((code, result))

    def client_fault(self, client: Client, exc: Exception) -> None:
        self.faults.append(exc)
        client.close()


class Talk:
    """One client in front of a group of fake devices."""

    def __init__(
        self,
        *devices: Any,
        connections: int = 8,
        framing: Framing = Framing.EXCRYPT,
        limits: Limits | None = None,
        **settings: Any,
    ) -> None:
        settings.setdefault("functions", Functions(block=("TIME", "GPKD", "ZZZ9")))
        self.group = FakeGroup(*(devices or (ONE,)), **settings).ready(connections)
        self.owner = Listener()
        self.limits = limits or Limits()
        self.framing = framing
        self.client, self.link = self.connect()

    def connect(self) -> tuple[Client, FakeLink]:
        rules = GroupRules(self.group.settings, CATALOGUE, self.group.group.commands).of(None)
        assert rules is not None
        settings = ClientSettings(
            framing=self.framing, limits=self.limits, answers=Answers(DEFAULT_ERRORS), longest=self.limits.message
        )
        client = Client(self.owner, self.group.group, rules, settings, None, self.group.now)
        link = FakeLink(client)
        client.attach(link)  # type: ignore[arg-type]
        return client, link

    def say(self, data: bytes) -> None:
        self.client.received(data, self.group.now)

    def next_batch(self) -> None:
        """Of the reactor: who rests goes on."""
        self.link.go_on()

    @property
    def heard(self) -> bytes:
        self.link.flush()
        return self.link.bytes_sent

    @property
    def reached(self) -> list[bytes]:
        """Every request that left for a device, in the order of its leaving per connection."""
        self.group.flush()
        return [request for link in self.group.links for request in link.sent]

    def outstanding(self) -> dict[bytes, Any]:
        """Connections by the request outstanding there."""
        return {
            attempt.exchange.request: upstream
            for device in self.group.group.devices
            for upstream in (*device.upstreams, *device.private)
            for attempt in upstream.outstanding
        }

    def answer(self, request: bytes) -> None:
        self.group.answer(self.outstanding()[request])

    def sweep(self, seconds: float) -> None:
        self.group.now += seconds
        self.client.sweep(self.group.now)


def ask(n: int) -> bytes:
    return b"[AOECHO;AG%d;]" % n


def told(n: int) -> bytes:
    return b"[AOECHO;AG%d;BBY;]" % n
