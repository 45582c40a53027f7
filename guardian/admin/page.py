"""`GET /`: the dashboard. A page with its scripts and styles, which are files of this package: nothing is made here.

The page itself is open to anybody, since a browser can bring no token before it has one. All that it shows comes over
`/feed`, which asks for a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from .message import Request, Response, Role
from .route import Route

# Nothing inline, nothing evaluated, no other host, no frame around it, no form that leaves, no markup from text.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


def page_routes() -> Sequence[Route]:
    """One route for each file: there is no path to climb out of."""
    folder = resources.files(__package__) / "static"
    index, *others = sorted(
        [*_files(folder, ""), *_files(folder / "vendor", "vendor/")], key=lambda found: found[0] != "index.html"
    )
    return [_route("/", "The dashboard", index[1]), *(_route(f"/static/{name}", name, file) for name, file in others)]


def _files(folder: Traversable, above: str) -> Sequence[tuple[str, Traversable]]:
    return [
        (above + file.name, file)
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.rpartition(".")[2] in _TYPES
    ]


def _route(path: str, summary: str, file: Traversable) -> Route:
    kind = _TYPES[file.name.rpartition(".")[2]]
    body = file.read_bytes()
    headers = {"Content-Security-Policy": POLICY}

    async def handler(_request: Request) -> Response:
        return Response(status=200, content_type=kind, body=body, headers=headers)

    return Route(
        method="GET",
        path=path,
        role=Role.OPEN,
        summary=summary,
        handler=handler,
        content_type=kind.partition(";")[0],
    )
