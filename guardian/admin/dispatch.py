"""Every check of every request in one place, before the one handler that its route names."""

from __future__ import annotations

import json
from typing import Final
from weakref import WeakKeyDictionary

import attrs
import trio

from guardian.events import Events, Kind
from guardian.logs import RateLimited

from .access import Access
from .message import LOOPBACK, Request, Response, Role, refusal
from .neighbours import UserGoneError
from .route import Handler, Route, Table, Talk

_TELL_EVERY: Final = 0.2  # seconds: anybody who reaches the port can be refused as often as they like


@attrs.frozen(kw_only=True)
class Conversation:
    """The answer is to become a WebSocket; ``request`` says who talks."""

    request: Request
    talk: Talk


@attrs.frozen(eq=False)
class _Passed:
    """What was found of a request by these rules, which depends on nothing but the two."""

    access: Access
    request: Request  # with who asks, and the parts of its path
    route: Route


class Dispatcher:
    """Answers requests by the table. ``access`` may be replaced at any time, which a reload does.

    The order: Host, Origin, who it is, whether there is such a path, the method, the role, the query, the body.
    """

    def __init__(self, table: Table, access: Access, events: Events) -> None:
        self.table: Final = table
        self.access = access
        self._events = events
        self._told: dict[str, RateLimited] = {}
        self._passed: WeakKeyDictionary[Request, _Passed] = WeakKeyDictionary()

    async def answer(self, request: Request) -> Response | Conversation:
        """Whatever the request is, there is a response; only a fault of ours raises."""
        passed = self._passed.get(request)
        if passed is not None and passed.access is self.access:
            return await self._take(passed.request, passed.route)
        methods, parts = self.table.find(request.path)
        wanted = methods.get("GET" if request.method == "HEAD" else request.method)
        known = wanted or next(iter(methods.values()), None)
        came = request
        request = self.access.recognise(attrs.evolve(request, parts=parts))
        turned_away = self._turn_away(request, known)
        if turned_away is not None:
            why, response = turned_away
            self._tell(request, known, why)
            return response
        if known is None:
            return refusal(404, "nothing here; /openapi.json says what there is")
        if wanted is None:
            return _wrong_method(list(methods))
        if request.method == "GET":
            self._passed[came] = _Passed(self.access, request, wanted)
        return await self._take(request, wanted)

    def welcome(self, request: Request) -> bool:
        """Whether one that was answered before still would be."""
        methods, _ = self.table.find(request.path)
        return self._turn_away(self.access.recognise(request), methods.get(request.method)) is None

    def _turn_away(self, request: Request, route: Route | None) -> tuple[str, Response] | None:
        """Why not, in a word, and what the client hears. A path that is not there is only for those who may look."""
        wanted = Role.VIEW if route is None else route.role
        refused = self.access.refuse_host(request, probe=route is not None and route.probe)
        if refused is not None:
            return "host", refused
        refused = self.access.refuse_origin(request)
        if refused is not None:
            return "origin", refused
        if request.role >= wanted:
            return None
        if self.access.needs_token(request):
            needed = "a token is needed: Authorization: Bearer ..."
            return "token", refusal(401, needed, WWW_Authenticate="Bearer")
        may = "nothing" if request.role is Role.OPEN else f"{request.role.name.lower()} only"
        return "role", refusal(403, f"this needs the role {wanted.name.lower()}; {request.actor.name} may {may}")

    async def _take(self, request: Request, route: Route) -> Response | Conversation:
        unknown = request.query.keys() - route.query.keys()
        if unknown and route.role is not Role.OPEN:
            takes = f"takes {', '.join(sorted(route.query))}" if route.query else "takes none"
            return refusal(400, f"there is no parameter {min(unknown)[:80]!a}; {request.path} {takes}")
        refused = self.access.refuse_kind(request) if request.method == "POST" else None
        if refused is None and request.method == "POST" and route.takes is None:
            refused = _refuse_body(request.body)
        if refused is not None:
            return refused
        if route.handler is not None:
            return await (
                self._change(request, route, route.handler) if request.method == "POST" else route.handler(request)
            )
        assert route.talk is not None, "a route has one of them"
        if request.method == "HEAD" or (request.header("upgrade") or "").lower() != "websocket":
            return refusal(426, f"{route.path} is a WebSocket", Upgrade="websocket")
        if request.header("sec-websocket-version") != "13":
            return refusal(426, "this server speaks version 13 of WebSocket", Sec_WebSocket_Version="13")
        return Conversation(request=request, talk=route.talk)

    async def _change(self, request: Request, route: Route, handler: Handler) -> Response:
        try:
            named = await _named(request)
        except (UserGoneError, OSError) as exc:
            self._tell(request, route, "user")
            return refusal(403, f"whose connection this is cannot be found, so nothing was changed: {exc}")
        return await handler(named)

    def _tell(self, request: Request, route: Route | None, why: str) -> None:
        held = self._told.setdefault(why, RateLimited(_TELL_EVERY)).admit(trio.current_time())
        if held is not None:
            what = f"{request.method[:16]} {route.plain_path if route else 'another path'}"
            detail = f"and {held} before it" if held else ""
            self._events.tell(Kind.OPERATOR, what, why, by=request.actor, detail=detail)


async def _named(request: Request) -> Request:
    """Who changes something over loopback without a token is known by their user, where the system says such things.

    Raises `UserGoneError` for who did not stay to hear the answer, so that no change is nobody's or another's.
    """
    if request.actor.name != LOOPBACK or request.user is None:
        return request
    user = await trio.to_thread.run_sync(request.user)
    return request if user is None else attrs.evolve(request, actor=attrs.evolve(request.actor, name=f"uid {user}"))


def _wrong_method(methods: list[str]) -> Response:
    if methods == ["POST"]:
        return refusal(405, "this changes something: use POST", Allow="POST")
    allowed = ["GET", "HEAD"] * ("GET" in methods) + ["POST"] * ("POST" in methods)
    return refusal(405, f"use {' or '.join(allowed)}", Allow=", ".join(allowed))


def _refuse_body(body: bytes) -> Response | None:
    """400 unless a body is empty or an empty JSON object: there is nothing that could stand in it."""
    if not body:
        return None
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return refusal(400, "the body is not JSON")
    return None if content == {} else refusal(400, "the body must be empty, or {}")
