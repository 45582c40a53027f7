"""Which routes there are. The paths are a promise; see `docs/operations.md`.

To add one, write a `Route` and the handler beside what it shows, and name it in `all_routes`. Nothing else: Host,
Origin, token, role, method, query and the kind of body are checked before a handler is called, and the OpenAPI document
and the tests of refusals are made from the table. A handler raises only for a fault of ours (the client then gets 500);
what the client did wrong it answers with `refusal`.

* A plain answer: ``async def handler(request: Request) -> Response``, often `as_json`, or a `Renderer`'s where it is
  large. ``request.parts`` are the named parts of the path, ``request.query`` what follows the question mark (name each
  in ``Route.query``), ``request.body`` the body of a POST whose route has ``takes``. Who changes something passes on
  ``request.actor``.
* A stream: the handler gives ``Response(status=200, content_type=..., stream=chunks())``, where ``chunks`` is an async
  generator of bytes. Each chunk is sent as it comes. When the client leaves, or the server stops, the generator is
  cancelled where it waits: clean up in ``finally``. When it returns, the answer has ended.
* A WebSocket: ``talk=`` in place of ``handler=``, an ``async def talk(request: Request, socket: WebSocketConnection)``.
  Send with ``await socket.send_message(...)``, which waits while the client does not take it and raises
  ``ConnectionClosed`` once it is gone (let that through). Read ``get_message()`` in a task of its own, even if nothing
  is expected: unread messages hide that the client has left. When it returns, the socket is closed.

Streams and WebSockets are bounded in number (`room.LASTING`), and a client that takes nothing for 10 s is let go.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from balancer.snapshot import Will
from guardian.operable import Operable

from .feed import Feed
from .learning import Learning
from .making import Making, Render, in_threads
from .message import Request, Response, Role, as_json, refusal
from .openapi import document
from .page import page_routes
from .rendering import Renderer
from .route import Route, Schema
from .scrapes import Scrapes, takes_gzip
from .status import device_status, status, unready
from .tail import TailRoute
from .views import Views

_READY: Final[Schema] = {
    "type": "object",
    "properties": {"ready": {"type": "boolean"}, "reasons": {"type": "array", "items": {"type": "string"}}},
    "required": ["ready", "reasons"],
}
_ALIVE: Final[Schema] = {"type": "object", "properties": {"alive": {"const": True}}, "required": ["alive"]}
_STATUS: Final[Schema] = {
    "type": "object",
    "properties": {
        "state": {"enum": ["starting", "serving", "draining"]},
        "groups": {"type": "array", "items": {"type": "object"}},
        "listeners": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["state", "groups", "listeners"],
}
_DEVICE: Final[Schema] = {
    "type": "object",
    "properties": {"group": {"type": "string"}, "device": {"type": "object"}},
    "required": ["group", "device"],
}


def all_routes(proxy: Operable, version: str, making: Making | None = None) -> Sequence[Route]:
    """``making``: in threads unless given."""
    making = making or in_threads()
    routes = [
        *_Own(proxy, version, making.render).routes(),
        *Feed(proxy, version, making.draw).routes(),
        *page_routes(),
        *Learning(proxy.lessons, proxy.events).routes(),
        *Views(proxy).routes(),
        *TailRoute(proxy).routes(),
    ]
    routes.append(_openapi(routes, version))
    return routes


def _openapi(routes: Sequence[Route], version: str) -> Route:
    """The document of them all, itself among them; made when somebody asks first."""
    made: list[Response] = []

    async def handler(_request: Request) -> Response:
        if not made:
            made.append(as_json(200, document([*routes], version)))
        return made[0]

    return Route(
        method="GET",
        path="/openapi.json",
        role=Role.VIEW,
        summary="This document: all routes, as OpenAPI 3.1",
        handler=handler,
        gives={"type": "object"},
    )


class _Own:
    """Probes, state, metrics and the operator's will."""

    def __init__(self, proxy: Operable, version: str, render: Render) -> None:
        self._proxy = proxy
        self._version = version
        self._log = structlog.get_logger()
        self._scrapes = Scrapes(proxy.snapshot, version, render)
        self._renderer = Renderer()

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/livez",
                role=Role.OPEN,  # a kubelet or a balancer in front of us has no token
                probe=True,
                summary="Whether the process works",
                handler=self._livez,
                gives=_ALIVE,
            ),
            Route(
                method="GET",
                path="/readyz",
                role=Role.OPEN,
                probe=True,
                summary="Whether it should get new clients, and why not",
                handler=self._readyz,
                gives=_READY,
                refuses={503: "not now"},
            ),
            Route(
                method="GET",
                path="/status",
                role=Role.VIEW,
                summary="The state",
                handler=self._status,
                gives=_STATUS,
            ),
            Route(
                method="GET",
                path="/metrics",
                role=Role.VIEW,
                summary="Prometheus text or OpenMetrics, as Accept says",
                handler=self._metrics,
                content_type="text/plain",
            ),
            Route(
                method="POST",
                path="/groups/{group}/devices/{device}/{will:ready|drain|maint}",
                role=Role.OPERATE,
                summary="Bring a device in, drain it, or take it out",
                handler=self._set_will,
                gives=_DEVICE,
                refuses={404: "no such device"},
            ),
        ]

    async def _livez(self, _request: Request) -> Response:
        return as_json(200, {"alive": True})

    async def _readyz(self, _request: Request) -> Response:
        await self._proxy.refresh()
        reasons = unready(self._proxy.snapshot())
        return as_json(503 if reasons else 200, {"ready": not reasons, "reasons": reasons})

    async def _status(self, _request: Request) -> Response:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        process = {"now": datetime.now(UTC).isoformat(timespec="milliseconds"), "descriptors": {"limit": limit}}
        await self._proxy.refresh()
        snapshot = self._proxy.snapshot()
        return await self._renderer.answer(200, lambda: {**status(snapshot, self._version), **process})

    async def _metrics(self, request: Request) -> Response:
        await self._proxy.refresh()
        made = await self._scrapes.text(request.header("accept") or "")
        return made.zipped if takes_gzip(request.header("accept-encoding") or "") else await made.plain()

    async def _set_will(self, request: Request) -> Response:
        group, device, will = request.parts["group"], request.parts["device"], Will(request.parts["will"])
        try:
            self._proxy.set_will(group, device, will, request.actor)
        except LookupError as exc:
            return refusal(404, str(exc.args[0]) if exc.args else "there is no such device")
        by = request.actor
        self._log.info("device will set", group=group, device=device, will=will.value, by=by.name, peer=by.source)
        await self._proxy.refresh()
        shown: dict[str, object] = {"name": device, "will": will.value}  # all there is to say while no worker runs
        for in_group in self._proxy.snapshot().groups:
            for found in in_group.devices:
                if (in_group.name, found.name) == (group, device):
                    shown = device_status(found)
        return as_json(200, {"group": group, "device": shown})
