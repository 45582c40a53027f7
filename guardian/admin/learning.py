"""`/learning`: asks for a lesson, says how far it is, and what was learned."""

from __future__ import annotations

import json
import re
from typing import Final

import structlog

from config.units import format_duration, parse_duration
from guardian.events import Events, Kind
from guardian.lesson import LONGEST, SHORTEST, LessonRunning
from guardian.operable import Teachable

from .message import Request, Response, Role, as_json, refusal
from .rendering import Renderer
from .route import Route, Schema

_GROUP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


_STATE: Final[Schema] = {"type": "object", "properties": {"state": {"type": "string"}}, "required": ["state"]}
_ASKED: Final[Schema] = {
    "type": "object",
    "properties": {
        "for": {"type": "string", "description": "how long, such as 10m"},
        "group": {"type": ["string", "null"], "description": "without it all groups"},
    },
    "required": ["for"],
    "additionalProperties": False,
}


class Learning:
    """The routes of `/learning`."""

    def __init__(self, lessons: Teachable, events: Events) -> None:
        self._lessons = lessons
        self._events = events
        self._log = structlog.get_logger()
        self._renderer = Renderer()

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/learning",
                role=Role.VIEW,
                summary="The lesson: its state, and once it has ended what was learned",
                handler=self.show,
                gives=_STATE,
            ),
            Route(
                method="POST",
                path="/learning",
                role=Role.OPERATE,
                summary="Begin a lesson",
                handler=self.start,
                takes=_ASKED,
                gives=_STATE,
                refuses={400: "not a lesson", 404: "no such group", 409: "somebody is learning already"},
            ),
            Route(
                method="POST",
                path="/learning/stop",
                role=Role.OPERATE,
                summary="End the lesson now",
                handler=self.stop,
                gives=_STATE,
            ),
        ]

    async def show(self, _request: Request) -> Response:
        """The state, and once the lesson has ended what was learned."""
        lessons = self._lessons
        content = dict(lessons.facts)
        if not lessons.ended:
            return as_json(200, content)
        # Now: somebody may start anew while we wait for our turn. As it comes: a large heap has long collections.
        reporter = lessons.reporter(iter)
        return await self._renderer.answer(200, lambda: {**content, "groups": reporter()})

    async def start(self, request: Request) -> Response:
        try:
            group, seconds = _asked(request.body)
        except ValueError as exc:
            return refusal(400, str(exc))
        try:
            self._lessons.start(group, seconds)
        except LessonRunning as exc:
            return refusal(409, str(exc))
        except LookupError as exc:
            return refusal(404, str(exc.args[0]))
        self._events.tell(Kind.OPERATOR, "learning", "started", by=request.actor, detail=group or "all groups")
        self._log.info(
            "learning", group=group or "all", seconds=seconds, by=request.actor.name, peer=request.actor.source
        )
        return as_json(200, self._lessons.facts)

    async def stop(self, request: Request) -> Response:
        self._lessons.stop()
        self._events.tell(Kind.OPERATOR, "learning", "stopped", by=request.actor)
        self._log.info("learning is to end", by=request.actor.name, peer=request.actor.source)
        return as_json(200, self._lessons.facts)


def _asked(body: bytes) -> tuple[str | None, float]:
    """``{"for": "10m", "group": "payments"}``; without a group all are meant. Raises ValueError for people."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if (
        not isinstance(content, dict)
        or not content.keys() <= {"for", "group"}
        or not isinstance(content.get("for"), str)
    ):
        raise ValueError('the body must be {"for": "10m"}, and may name a "group"')
    seconds = parse_duration(content["for"])
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError(f"it takes from {format_duration(SHORTEST)} to {format_duration(LONGEST)}")
    group = content.get("group")
    if group is not None and not (isinstance(group, str) and _GROUP.fullmatch(group)):
        raise ValueError("the group must be a name")
    return group, seconds
