"""The proxy's admin port, as far as the demo reads it."""

from __future__ import annotations

import json
from typing import Any, Final

import attrs
import h11
import trio

_PATIENCE: Final = 5.0


class NoAnswer(Exception):  # noqa: N818 (says what happened)
    """The admin port cannot be reached, or said nothing that can be used."""


@attrs.frozen
class DeviceState:
    name: str
    health: str
    in_service: bool
    requests: int


@attrs.frozen
class Admin:
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def ready(self) -> bool:
        try:
            status, _ = await self._get("/readyz")
        except NoAnswer:
            return False
        return status == 200

    async def status(self) -> dict[str, Any]:
        """Raises NoAnswer."""
        status, body = await self._get("/status")
        if status != 200:
            raise NoAnswer(f"/status answered {status}")
        try:
            found: dict[str, Any] = json.loads(body)
        except ValueError as exc:
            raise NoAnswer("/status is not JSON") from exc
        return found

    async def devices(self, group: str) -> dict[str, DeviceState]:
        """By name. Raises NoAnswer."""
        for found in (await self.status())["groups"]:
            if found["name"] == group:
                return {
                    device["name"]: DeviceState(
                        device["name"], device["health"], device["in_service"], device["requests"]
                    )
                    for device in found["devices"]
                }
        raise NoAnswer(f"no group {group}")

    async def _get(self, path: str) -> tuple[int, bytes]:
        status, body = 0, bytearray()
        connection = h11.Connection(h11.CLIENT)
        headers = [("Host", f"{self.host}:{self.port}"), ("Connection", "close")]
        try:
            with trio.fail_after(_PATIENCE):
                async with await trio.open_tcp_stream(self.host, self.port) as stream:
                    request = connection.send(h11.Request(method="GET", target=path, headers=headers))
                    await stream.send_all((request or b"") + (connection.send(h11.EndOfMessage()) or b""))
                    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                        if event is h11.NEED_DATA:
                            connection.receive_data(await stream.receive_some(65_536))
                        elif isinstance(event, h11.Response):
                            status = event.status_code
                        elif isinstance(event, h11.Data):
                            body += event.data
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, h11.RemoteProtocolError) as exc:
            raise NoAnswer(str(exc)) from exc
        return status, bytes(body)
