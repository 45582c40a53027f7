"""What `guardian show` and `guardian reload` ask for: clients, sessions, commands, certificates, the configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from config.dump import as_plain, as_yaml
from guardian.operable import Operable
from guardian.reloading import Reloading, ReloadResult
from guardian.shown import certificates, client_facts, commands, session_facts, time_text

from .message import Request, Response, Role, refusal
from .rendering import Renderer
from .route import Route, Schema

MOST: Final = 10_000  # entries of one answer
_USUAL: Final = 1_000
_SLICE: Final = 200  # entries encoded while nobody else can run
_LIMIT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": MOST, "default": _USUAL}
_TEXT: Final[Schema] = {"type": "string"}
_RELOAD: Final[Schema] = {
    "type": "object",
    "properties": {
        "file": {"type": "string"},
        "dry_run": {"type": "boolean"},
        "result": {"enum": ["ok", "failed"]},
        "changes": {"type": "array", "items": {"type": "string"}},
        "needs_restart": {"type": "array", "items": {"type": "string"}},
        "problems": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["result", "changes", "problems"],
}
_NO_FILE: Final = "this proxy does not run on a file"


class Views:
    """Large answers are looked at in slices on the loop, then sorted and written in a thread, one at a time."""

    def __init__(self, proxy: Operable) -> None:
        self._proxy = proxy
        self._renderer = Renderer()

    def routes(self) -> list[Route]:
        def view(path: str, summary: str, handler: Any, query: Mapping[str, Schema], part: str) -> Route:
            gives = {"type": "object", "properties": {part: {"type": "array"}}, "required": [part]}
            return Route(
                method="GET", path=path, role=Role.VIEW, summary=summary, handler=handler, query=query, gives=gives
            )

        return [
            view("/clients", "Who is connected", self.clients,
                 {"limit": _LIMIT, "group": _TEXT, "listener": _TEXT, "name": _TEXT}, "clients"),
            view("/sessions", "The logins that clients have", self.sessions,
                 {"limit": _LIMIT, "group": _TEXT}, "sessions"),
            view("/commands", "What each command came to", self.commands, {"group": _TEXT}, "commands"),
            view("/certificates", "Which certificate ends when, and who uses it", self.certificates, {},
                 "certificates"),
            Route(
                method="GET", path="/config", role=Role.VIEW, handler=self.config,
                summary="The configuration that runs, as it was read, without values from the environment",
                gives={"type": "object", "properties": {"yaml": _TEXT}, "required": ["yaml"]},
                refuses={404: _NO_FILE},
            ),
            Route(
                method="GET", path="/reload", role=Role.VIEW, handler=self.would_reload, gives=_RELOAD,
                summary="What a reload would do; changes nothing", refuses={404: _NO_FILE, 422: "the file is wrong"},
            ),
            Route(
                method="POST", path="/reload", role=Role.OPERATE, handler=self.reload, gives=_RELOAD,
                takes={"type": "object", "properties": {"dry_run": {"type": "boolean"}},
                       "additionalProperties": False},
                summary="Read the configuration again and apply it",
                refuses={400: "not a reload", 404: _NO_FILE, 422: "nothing was changed: the file is wrong"},
            ),
        ]  # fmt: skip

    async def clients(self, request: Request) -> Response:
        query = request.query
        wanted = {key: query[key] for key in ("group", "listener", "name") if key in query}
        found = await self._proxy.clients_now()

        def chosen() -> list[Any]:
            fitting = [each for each in found if all(getattr(each, key) == text for key, text in wanted.items())]
            return sorted(fitting, key=lambda each: (-each.outstanding, -each.requests, each.since))

        return await self._listed(request, "clients", chosen, client_facts)

    async def sessions(self, request: Request) -> Response:
        group = request.query.get("group")
        found = await self._proxy.sessions_now()

        def chosen() -> list[Any]:
            return sorted((each for each in found if group in (None, each.group)), key=lambda each: -each.clients)

        return await self._listed(request, "sessions", chosen, session_facts)

    async def commands(self, request: Request) -> Response:
        await self._proxy.refresh()
        snapshot = self._proxy.snapshot()
        group = request.query.get("group")
        return await self._renderer.answer(200, lambda: {"commands": commands(snapshot, group)})

    async def certificates(self, _request: Request) -> Response:
        ends, config = self._proxy.snapshot().certificates, self._proxy.config
        return await self._renderer.answer(200, lambda: {"certificates": certificates(ends, config)})

    async def config(self, _request: Request) -> Response:
        reloading = self._proxy.reloading
        if reloading is None or reloading.loaded.source is None:
            return refusal(404, _NO_FILE)
        source = reloading.loaded.source
        head = {"file": str(reloading.file), "loaded": time_text(reloading.loaded_at.timestamp())}
        return await self._renderer.answer(200, lambda: {**head, "yaml": as_yaml(source), "config": as_plain(source)})

    async def would_reload(self, request: Request) -> Response:
        return await self._reload(request, dry_run=True)

    async def reload(self, request: Request) -> Response:
        try:
            content = json.loads(request.body or b"{}")
        except (ValueError, RecursionError):
            content = None
        dry_run = content.get("dry_run", False) if isinstance(content, dict) and content.keys() <= {"dry_run"} else None
        if not isinstance(dry_run, bool):
            return refusal(400, 'the body must be empty, or {"dry_run": true} or false')
        return await self._reload(request, dry_run=dry_run)

    async def _reload(self, request: Request, *, dry_run: bool) -> Response:
        reloading: Reloading | None = self._proxy.reloading
        if reloading is None:
            return refusal(404, _NO_FILE)
        result = await reloading.reload(request.actor, dry_run=dry_run)
        return await self._renderer.answer(200 if result.ok else 422, lambda: reload_facts(result))

    async def _listed(
        self,
        request: Request,
        name: str,
        chosen: Callable[[], list[Any]],
        facts: Callable[[Any], dict[str, object]],
    ) -> Response:
        limit = request.query.get("limit", str(_USUAL))
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MOST):
            return refusal(400, f"limit must be a number from 1 to {MOST}")
        return await self._renderer.written(lambda: _encoded(name, chosen, facts, int(limit)))


def _encoded(
    name: str, chosen: Callable[[], list[Any]], facts: Callable[[Any], dict[str, object]], limit: int
) -> bytes:
    """``{"total": 12, "clients": [...]}``, written in parts so that the loop has its turns between them."""
    everything = chosen()
    shown = everything[:limit]
    parts = []
    for start in range(0, len(shown), _SLICE):
        part = msgspec.json.encode([facts(each) for each in shown[start : start + _SLICE]])
        parts.append(part[1:-1])
    return b'{"total": %d, "%s": [%s]}\n' % (len(everything), name.encode(), b",\n".join(parts))


def reload_facts(result: ReloadResult) -> dict[str, object]:
    """As `/reload` answers."""
    return {
        "file": str(result.file),
        "dry_run": result.dry_run,
        "result": "ok" if result.ok else "failed",
        **({"error": result.reason} if result.reason else {}),
        "changes": list(result.lines),
        "needs_restart": list(result.changes.needs_restart),
        "problems": [
            {
                "file": problem.file,
                "line": problem.line,
                "key": problem.path,
                "message": problem.message,
                "severity": problem.severity,
            }
            for problem in result.problems
        ],
    }
