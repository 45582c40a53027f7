"""What tests of the emulated device use: the inside of one without sockets, and a client for a real one."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs
import trio
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key

from loadtest.simhsm import DEFAULT_DIRECTORY, Directory, SimulatedDevice
from loadtest.simhsm.hsm import Hsm
from loadtest.simhsm.key import ANY_USE, Key, KeyKind, Usage
from loadtest.simhsm.keypool import KeyPool
from loadtest.simhsm.majorkey import MajorKey
from loadtest.simhsm.message import parse
from loadtest.simhsm.session import Session


@attrs.frozen
class Answer:
    """An answer taken apart: its code, and the last value of each tag."""

    raw: bytes
    code: str
    fields: dict[str, str]

    def __getitem__(self, tag: str) -> str:
        return self.fields[tag]

    def octets(self, tag: str) -> bytes:
        return bytes.fromhex(self.fields[tag])

    def public_key(self) -> PublicKeyTypes:
        return load_der_public_key(self.octets("RD"))


def read(raw: bytes) -> Answer:
    message = parse(raw)
    assert message.code, raw
    return Answer(raw, message.code, dict(message.fields))


def write(code: str, fields: dict[str, object]) -> bytes:
    texts = {tag: value.hex().upper() if isinstance(value, bytes) else str(value) for tag, value in fields.items()}
    return f"[AO{code};{''.join(f'{tag}{text};' for tag, text in texts.items())}]".encode("latin-1")


class Inside:
    """A device without sockets: `inside("GPGS", CT=6)` gives an answer, bytes go as hex."""

    def __init__(self, hsm: Hsm, session: Session) -> None:
        self.hsm = hsm
        self.session = session
        self.now = 1000.0

    def __call__(self, code: str, **fields: object) -> Answer:
        raw = self.hsm.execute(parse(write(code, fields)), self.session, self.now).answer
        assert not self.hsm.bugs, self.hsm.bugs
        return read(raw)

    def load(self, material: bytes, kind: KeyKind = KeyKind.AES, usage: Usage = ANY_USE) -> str:
        """A cryptogram of a key that the test knows."""
        return self.hsm.major_key.wrap(Key(kind, material, usage))


KEYS = KeyPool(reuse=True)  # RSA keys are slow to find and may be the same in every test


def new_inside(name: str = "hsm1", seed: str = "guardian", directory: Directory | None = None, **given: Any) -> Inside:
    """``given``: of the Hsm. Without a directory everything is permitted before login."""
    directory = directory or DEFAULT_DIRECTORY.open_to_all()
    hsm = Hsm(name=name, directory=directory, major_key=MajorKey(seed), key_pool=KEYS, **given)
    return Inside(hsm, Session(directory))


@attrs.frozen
class Contexts:
    """Both ends of mutual TLS; `client` makes a context for a Common Name."""

    server: ssl.SSLContext
    client: Callable[[str], ssl.SSLContext]


class Caller:
    """One client connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._buffer = b""

    async def send(self, raw: bytes) -> None:
        await self.stream.send_all(raw)

    async def answer(self) -> bytes:
        """The next whole answer. EOFError at the end of the connection."""
        while b"]" not in self._buffer:
            data = await self.stream.receive_some(65536)
            if not data:
                raise EOFError(self._buffer)
            self._buffer += data
        answer, _, self._buffer = self._buffer.partition(b"]")
        return answer + b"]"

    async def ask(self, raw: bytes) -> bytes:
        await self.send(raw)
        return await self.answer()

    async def call(self, code: str, **fields: object) -> Answer:
        return read(await self.ask(write(code, fields)))


class Connect(Protocol):
    """Connect to a device; with `name`, over mutual TLS with a certificate of that Common Name."""

    def __call__(self, device: SimulatedDevice, name: str | None = None) -> Awaitable[Caller]: ...


class Start(Protocol):
    """Start a device with settings of `SimulatedDevice`."""

    def __call__(self, **settings: object) -> Awaitable[SimulatedDevice]: ...
