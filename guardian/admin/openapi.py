"""The table of routes as an OpenAPI 3.1 document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from .access import BEARER_SUBPROTOCOL, SUBPROTOCOL
from .message import Role
from .route import Route

_JSON: Final = "application/json"
_ERROR: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "for people"},
        "status": {"type": "string", "description": "the name of the status code"},
    },
    "required": ["error", "status"],
}
_NAME: Final[Mapping[str, Any]] = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"}
_TOKEN: Final = "token"  # noqa: S105 (the name of a scheme)
_ABOUT: Final = (
    "Every request must name this server in Host, and none may come from another Origin. Where no token is asked for, "
    "the connection says who may do what: a unix socket, loopback, or a client certificate."
)


def document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.plain_path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Guardian", "summary": "The admin port", "description": _ABOUT, "version": version},
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {_TOKEN: {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    made: dict[str, Any] = {"summary": route.summary, "x-role": route.role.name.lower()}
    if route.talk is not None:
        made["description"] = (
            f"A WebSocket. A page, which can set no header, offers the subprotocols `{SUBPROTOCOL}` and "
            f"`{BEARER_SUBPROTOCOL}` with the token in base64url behind it, without padding."
        )
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"enum": list(words)} if words else dict(_NAME)}
        for name, words in route.named_parts.items()
    ] + [{"name": name, "in": "query", "schema": dict(schema)} for name, schema in route.query.items()]
    if parameters:
        made["parameters"] = parameters
    if route.method == "POST":
        schema = dict(route.takes) if route.takes is not None else {"type": "object", "maxProperties": 0}
        made["requestBody"] = {"required": route.takes is not None, "content": {_JSON: {"schema": schema}}}
    made["responses"] = _responses(route)
    made["security"] = [] if route.role is Role.OPEN else [{}, {_TOKEN: []}]
    return made


def _responses(route: Route) -> dict[str, Any]:
    good: dict[str, Any] = {"description": route.summary}
    if route.gives is not None or route.content_type != _JSON:
        good["content"] = {route.content_type: {"schema": dict(route.gives)} if route.gives is not None else {}}
    refuses = {403: "a foreign Host or Origin, or a role that may not", **_usual(route), **route.refuses}
    answers: dict[str, Any] = (
        {"101": {"description": "it is a WebSocket now"}} if route.talk is not None else {"200": good}
    )
    for status in sorted(refuses):
        error = {"$ref": "#/components/schemas/Error"}
        # What /readyz refuses has the form of its answer.
        schema = dict(route.gives) if route.probe and route.gives is not None and status == 503 else error
        answers[str(status)] = {
            "description": f"{HTTPStatus(status).phrase}: {refuses[status]}",
            "content": {_JSON: {"schema": schema}},
        }
    return answers


def _usual(route: Route) -> dict[int, str]:
    usual = {} if route.role is Role.OPEN else {400: "parameters or a body that there are not", 401: "no good token"}
    if route.method == "POST":
        usual[415] = "a body that is not application/json"
    if route.talk is not None:
        usual |= {426: "no WebSocket was asked for", 503: "too many streams already"}
    return usual
