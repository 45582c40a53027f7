"""Clients that live one connection after the other and write down what they asked and heard."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Final

import attrs
import trio

from loadtest.simhsm.key import Key, KeyKind
from loadtest.simhsm.majorkey import MajorKey

from .excrypt_client import Closed, ExcryptClient
from .histories import Asked, Does, Promises

PATIENCE: Final = 20.0  # seconds for an answer: more than the proxy may ever take
SLOTS_OF_A_CLIENT: Final = 4
LIFE: Final = 60  # requests of a connection, at most
BATCH: Final = 4  # requests sent without waiting for an answer
KEPT: Final = 12  # keys that clients choose from
BLOCKED: Final = b"STAT"  # which the rules block


@attrs.frozen
class Who:
    """A client certificate and the login that goes with it."""

    identity: str
    user: str
    password: str

    @property
    def login(self) -> bytes:
        return f"[AORKLG;DA{self.user};CH{self.password};]".encode()

    @property
    def wrong_login(self) -> bytes:
        return f"[AORKLG;DA{self.user};CHwrong;]".encode()


@attrs.define(eq=False)
class Traffic:
    """What all clients share. ``address`` gives where the proxy is now; `writing` may be switched off for a while."""

    address: Callable[[], tuple[str, int]]
    tls: Callable[[str], ssl.SSLContext]
    promises: Promises
    major_key: MajorKey
    asked: list[Asked] = attrs.field(factory=list)
    writing: bool = True
    stop: bool = False
    lives: count[int] = attrs.field(factory=count)
    lost: int = 0  # connections that ended before their client was done
    _keys: list[tuple[bytes, str]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        materials = [os.urandom(32) for _ in range(KEPT)]
        self._keys = [(material, self.major_key.wrap(Key(KeyKind.SECRET, material))) for material in materials]

    def key(self, random: Random) -> tuple[bytes, str]:
        """Material and cryptogram."""
        return random.choice(self._keys)


@attrs.define(eq=False)
class Client:
    number: int
    who: Who
    traffic: Traffic
    random: Random

    async def run(self) -> None:
        """One life after the other until all stop."""
        while not self.traffic.stop:
            try:
                connection = await ExcryptClient.connect(self.traffic.address(), self.traffic.tls(self.who.identity))
            except (Closed, OSError, LookupError):  # the proxy is not there
                await trio.sleep(0.05)
                continue
            life = Life(self, connection, next(self.traffic.lives))
            try:
                await life.run()
            except Closed:
                self.traffic.lost += 1
                await trio.sleep(0.02)
            finally:
                connection.close()


@attrs.define(eq=False)
class Life:
    """One connection: some requests as nobody, a login perhaps, requests as somebody; then it goes, in order or not."""

    client: Client
    connection: ExcryptClient
    number: int
    user: str | None = None
    _count: int = 0
    _odd: bool = False  # has sent a command that nobody knows: pinned to one device, it leaves keys alone

    async def run(self) -> None:
        random, traffic = self.client.random, self.client.traffic
        logs_in_at = random.randrange(10) if random.random() < 0.85 else LIFE
        odd_at = random.randrange(LIFE) if random.random() < 0.05 else LIFE
        vanishes_at = random.randrange(LIFE) if random.random() < 0.15 else LIFE
        while self._count < LIFE and not traffic.stop:
            if self._count >= logs_in_at and self.user is None:
                await self._log_in()
            elif self._count >= odd_at and not self._odd:
                self._odd = True
                await self._batch([self._asked(Does.READ, b"QQQQ")])
            else:
                vanishes = self._count >= vanishes_at
                batch = self._some()
                if vanishes:
                    await self._send(batch)
                    await trio.sleep(random.random() * 0.01)
                    self.connection.vanish()
                    return
                await self._batch(batch)
            await trio.sleep(random.expovariate(1 / 0.02))

    async def _log_in(self) -> None:
        random, who = self.client.random, self.client.who
        if random.random() < 0.05:
            await self._batch([self._asked(Does.LOGIN, b"RKLG", whole=who.wrong_login)])
        asked = self._asked(Does.LOGIN, b"RKLG", whole=who.login)
        await self._batch([asked])
        if asked.answer is not None and b";ANY;" in asked.answer:
            self.user = who.user

    def _some(self) -> list[Asked]:
        """Requests to be sent at once: of each slot one at most, since they may overtake each other on devices."""
        random = self.client.random
        size = 1 if random.random() < 0.7 else random.randint(2, BATCH)
        slots = random.sample(range(SLOTS_OF_A_CLIENT), size)
        return [self._one(self.client.number * SLOTS_OF_A_CLIENT + slot) for slot in slots]

    def _one(self, slot: int) -> Asked:
        random, traffic = self.client.random, self.client.traffic
        dice = random.random()
        if self.user is None or self._odd or not traffic.promises.writes:
            if dice < 0.02:
                return self._asked(Does.READ, BLOCKED)
            if dice < 0.15 and not self._odd and traffic.writing and not traffic.promises.writes:
                return self._asked(Does.WRITE, b"TIME", b"TM20300101000000;" if self.user is not None else b"")
            if dice < 0.4 and self.user is not None:
                return self._asked(Does.READ, b"RKEY", b"FS2;")
            return self._asked(Does.READ, b"ECHO" if dice < 0.7 else b"RAND")
        if dice < 0.02:
            return self._asked(Does.READ, BLOCKED)
        if dice < 0.04 and traffic.writing:
            return self._asked(Does.WRITE, b"TIME", b"TM20300101000000;")
        if dice < 0.18 and traffic.writing:
            material, cryptogram = traffic.key(random)
            return self._asked(Does.WRITE, b"GPKA", f"BG{cryptogram};BD{slot};".encode(), slot=slot, key=material)
        if dice < 0.21 and traffic.writing:
            return self._asked(Does.WRITE, b"GPKD", f"BD{slot};".encode(), slot=slot)
        if dice < 0.28:
            return self._asked(Does.READ, b"RAND")
        data = random.randbytes(8)
        body = f"RG4;ARBD{slot};BO{data.hex().upper()};BN0;".encode()
        return self._asked(Does.READ, b"HMAC", body, slot=slot, data=data)

    def _asked(
        self,
        does: Does,
        code: bytes,
        body: bytes = b"",
        *,
        whole: bytes | None = None,
        slot: int | None = None,
        key: bytes | None = None,
        data: bytes = b"",
    ) -> Asked:
        mark = f"{self.client.number}-{self.number}-{self._count}"
        asked = Asked(
            client=self.client.number,
            life=self.number,
            number=self._count,
            identity=self.client.who.identity,
            user=self.user,
            does=does,
            request=whole or b"[AO%b;%bAG%b;]" % (code, body, mark.encode()),
            at=0.0,
            slot=slot,
            key=key,
            data=data,
        )
        self._count += 1
        return asked

    async def _send(self, batch: list[Asked]) -> None:
        for asked in batch:
            asked.at = time.monotonic()
            self.client.traffic.asked.append(asked)
        await self.connection.send(b"".join(asked.request for asked in batch))

    async def _batch(self, batch: list[Asked]) -> None:
        """Send them, and take an answer for each, in this order. Raises Closed."""
        await self._send(batch)
        for asked in batch:
            with trio.move_on_after(PATIENCE) as waiting:
                answer = await self.connection.receive()
            if waiting.cancelled_caught:
                asked.waited = True
                raise Closed
            asked.answer, asked.answered = answer, time.monotonic()
