"""What each path of the admin port answers. The paths are a promise; see `docs/operations.md`."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
import trio

from balancer.snapshot import Will
from guardian import metrics
from guardian.events import Actor
from guardian.operable import Operable

from .access import Access
from .learning import LearningRoutes
from .message import Request, Response, as_json, refusal
from .page import page
from .status import device_status, status, unready

Handler = Callable[[Request], Awaitable[Response]]

OPEN: Final = frozenset({"/livez", "/readyz"})  # a kubelet or a balancer in front of us has no token
# A path is compared as it came: nothing is decoded or normalised, so there is nothing to trick with `..` or `%2e`.
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
_WILL: Final = re.compile(rf"/groups/({_NAME})/devices/({_NAME})/(ready|drain|maint)")


class Routes:
    """Answers requests from what the proxy shows and takes. Runs on the loop; metrics are rendered in a thread."""

    def __init__(self, proxy: Operable, access: Access, version: str) -> None:
        self._proxy = proxy
        self._access = access
        self._version = version
        self._log = structlog.get_logger()
        self._renderers = trio.CapacityLimiter(1)  # a second one would only fight the first for the interpreter
        self._learning = LearningRoutes(proxy.lessons)
        self._paths: Mapping[str, Handler] = {
            "/": self._page,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/status": self._status,
            "/learning": self._learning.show,
        }

    async def answer(self, request: Request) -> Response:
        """Whatever the request is, there is a response; only a fault of ours raises."""
        if request.path not in OPEN:
            refused = self._access.refuse_token(request)
            if refused is not None:
                return refused
        change = self._learning.posts.get(request.path)
        if change is not None and request.method == "POST":
            return self._access.refuse_change(request) or await change(request)
        handler = self._paths.get(request.path)
        if handler is not None:
            if request.method not in ("GET", "HEAD"):
                return refusal(405, f"{request.path} can only be read", Allow="GET, HEAD")
            return await handler(request)
        return self._change_device(request, known=change is not None)

    def _change_device(self, request: Request, *, known: bool) -> Response:
        """``known``: the path is there, for a POST."""
        match = _WILL.fullmatch(request.path)
        if match is None and not known:
            return refusal(404, "nothing here; there are /livez, /readyz, /metrics, /status, /learning and POSTs")
        if match is None or request.method != "POST":
            return refusal(405, "this changes something: use POST", Allow="POST")
        return self._set_will(request, match[1], match[2], Will(match[3]))

    async def _livez(self, _request: Request) -> Response:
        return as_json(200, {"alive": True})

    async def _readyz(self, _request: Request) -> Response:
        reasons = unready(self._proxy.snapshot())
        return as_json(503 if reasons else 200, {"ready": not reasons, "reasons": reasons})

    async def _status(self, _request: Request) -> Response:
        return as_json(200, status(self._proxy.snapshot(), self._version))

    async def _page(self, _request: Request) -> Response:
        return page(self._proxy.snapshot())

    async def _metrics(self, request: Request) -> Response:
        async with self._renderers:
            snapshot = self._proxy.snapshot()  # on the loop, and only once it is our turn
            accept = request.header("accept") or ""
            body, kind = await trio.to_thread.run_sync(metrics.render, snapshot, self._version, accept)
        return Response(status=200, content_type=kind, body=body)

    def _set_will(self, request: Request, group: str, device: str, will: Will) -> Response:
        refused = self._access.refuse_change(request) or _refuse_body(request.body)
        if refused is not None:
            return refused
        try:
            self._proxy.set_will(group, device, will, Actor(name="operator", source=request.peer))
        except LookupError as exc:
            return refusal(404, str(exc.args[0]) if exc.args else "there is no such device")
        self._log.info("device will set", group=group, device=device, will=will.value, peer=request.peer)
        shown = next(
            device_status(found)
            for in_group in self._proxy.snapshot().groups
            if in_group.name == group
            for found in in_group.devices
            if found.name == device
        )
        return as_json(200, {"group": group, "device": shown})


def _refuse_body(body: bytes) -> Response | None:
    """400 unless a body is empty or an empty JSON object: there is nothing that could stand in it yet."""
    if not body:
        return None
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return refusal(400, "the body is not JSON")
    return None if content == {} else refusal(400, "the body must be empty, or {}")
