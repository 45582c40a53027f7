"""`GET /`: the state as a plain page, without scripts; every value is escaped."""

from __future__ import annotations

from html import escape
from typing import Final

from balancer.snapshot import ProxySnapshot

from .message import Response
from .status import unready

# One style sheet in the page and nothing else: no script, no frame, no form, no other host.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem;color-scheme:light dark}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "th,td{text-align:left;padding:.25rem .75rem;border-bottom:1px solid #8888}"
)
_COLUMNS: Final = ("Device", "Role", "Will", "Health", "In service", "Outstanding", "Requests", "Errors", "Why")


def page(snapshot: ProxySnapshot) -> Response:
    reasons = unready(snapshot)
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Guardian</title><style>{_STYLE}</style>',
        f"<h1>Guardian: {escape('ready' if not reasons else 'not ready')}</h1>",
        *(f"<p>{escape(reason)}</p>" for reason in reasons),
    ]
    for group in snapshot.groups:
        parts.append(f"<h2>{escape(group.name)}</h2><table><thead><tr>")
        parts.extend(f'<th scope="col">{column}</th>' for column in _COLUMNS)
        parts.append("</tr></thead><tbody>")
        for device in group.devices:
            cells = (
                device.name, device.role.value, device.will.value, device.health.value,
                "yes" if device.in_service else "no", f"{device.outstanding}", f"{device.requests}",
                f"{device.errors}", device.reason,
            )  # fmt: skip
            parts.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
        parts.append("</tbody></table>")
    parts.append('<p><a href="/status">status</a> <a href="/metrics">metrics</a></p></html>')
    return Response(
        status=200,
        content_type="text/html; charset=utf-8",
        body="\n".join(parts).encode("utf-8", "replace"),
        headers={"Content-Security-Policy": POLICY},
    )
