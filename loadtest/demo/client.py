"""One client of the proxy: requests over mutual TLS, each answer verified as an application would."""

from __future__ import annotations

import ssl
import time
from typing import Final

import attrs
import trio

from loadtest.simhsm.message import parse

from .tally import Tally

OUTCOME_UNKNOWN: Final = "903"
_GOODBYE: Final = 1.0  # seconds
_PATIENCE: Final = 15.0  # seconds; more than the proxy takes to give up
_LOST: Final[dict[type[BaseException], str]] = {trio.TooSlowError: f"no answer in {_PATIENCE:.0f} s"}


class Unanswered(Exception):  # noqa: N818 (says what happened)
    """The request failed, or its outcome is unknown; the tally has it."""


@attrs.define(eq=False)
class Client:
    """Connects when it must, also after the connection was lost. Used by one task."""

    number: int
    _address: tuple[str, int]
    _tls: ssl.SSLContext
    _tally: Tally
    _stream: trio.SSLStream[trio.SocketStream] | None = attrs.field(default=None, init=False)
    _asked: int = attrs.field(default=0, init=False)

    async def ask(self, code: str, write: bool = False, **fields: str) -> dict[str, str]:
        """The fields of the right answer. Raises Unanswered."""
        self._asked += 1
        echo = f"{self.number}.{self._asked}"
        body = "".join(f"{tag}{value};" for tag, value in fields.items())
        began = time.perf_counter()
        try:
            with trio.fail_after(_PATIENCE):
                raw = await self._exchange(f"[AO{code};{body}AG{echo};]".encode())
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, EOFError) as exc:
            await self.close()
            self._over(write, began)
            self._tally.failed(write, f"{code}: {_LOST.get(type(exc), 'the connection was lost')}")
            raise Unanswered from exc
        self._over(write, began)
        answer = parse(raw)
        if write and answer.code == "ERRO" and answer.fields.get("AM") == OUTCOME_UNKNOWN:
            self._tally.unknown += 1
            raise Unanswered
        if answer.code != code or answer.echo != echo:
            text = answer.fields.get("BB", "") if answer.code == "ERRO" else f"answer to {answer.code} {answer.echo}"
            self._tally.failed(write, f"{code}: {text}")
            raise Unanswered
        return dict(answer.fields)

    def verify(self, good: bool, what: str, write: bool = False) -> None:
        """Count a wrong answer as a failed request. Raises Unanswered."""
        if not good:
            self._tally.failed(write, f"{what}: the answer is wrong")
            raise Unanswered

    async def close(self) -> None:
        """Without TLS's goodbye; also when cancelled."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with trio.move_on_after(_GOODBYE, shield=True):
                await trio.aclose_forcefully(stream)

    async def _exchange(self, request: bytes) -> bytes:
        if self._stream is None:
            tcp = await trio.open_tcp_stream(*self._address)
            self._stream = trio.SSLStream(tcp, self._tls, server_hostname=self._address[0])
        await self._stream.send_all(request)
        answer = b""
        while not answer.endswith(b"]"):
            data = await self._stream.receive_some(65_536)
            if not data:
                raise EOFError
            answer += data
        return answer

    def _over(self, write: bool, began: float) -> None:
        self._tally.over(write, time.perf_counter() - began)
