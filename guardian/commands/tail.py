"""`guardian tail`: completions of a running proxy, as they happen."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import click

from guardian import console
from guardian.remote import Remote, admin_options

from .table import plain

_COLOURS: Final = {"ok": None, "device_error": "yellow", "blocked": "yellow"}
_HEADING: Final = (
    f"{'TIME':12}  {'CLIENT':16}  {'CMD':4}  {'DEVICE':20}  {'OUTCOME':12}  {'MS':>9}  {'DEVICE MS':>9}  RESENT"
)


@click.command()
@click.option("--command", "commands", multiple=True, metavar="CODE", help="Only this command; may be repeated.")
@click.option("--outcome", "outcomes", multiple=True, metavar="OUTCOME",
              help="Only what ended so: ok, device_error, blocked, ...; may be repeated.")  # fmt: skip
@click.option("--group", metavar="GROUP", help="Only of this group.")
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="DEVICE",
    help="Only of this device, or GROUP/DEVICE; may be repeated.",
)
@click.option("--client", metavar="CLIENT",
              help="Only of this client: a Common Name, the beginning of a fingerprint, an address.")  # fmt: skip
@click.option("--slower", metavar="DURATION", help="Only what took at least that long, such as 50ms.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many.")
@click.option("--json", "as_json", is_flag=True, help="Print each as a line of JSON.")
@admin_options
def tail(
    remote: Remote,
    commands: Sequence[str],
    outcomes: Sequence[str],
    group: str | None,
    devices: Sequence[str],
    client: str | None,
    slower: str | None,
    count: int | None,
    as_json: bool,
) -> int:
    """Show requests as they are answered: who, what, where, how it ended, and how long it took. No values.

    What comes faster than it can be taken is left out, and how much is said. Ends with Ctrl-C, or after --count.
    """
    lines = remote.tail(
        command=",".join(code.upper() for code in commands), outcome=",".join(outcomes), group=group,
        device=",".join(devices), client=client, slower=slower,
    )  # fmt: skip
    seen = 0
    for line in lines:
        if seen == 0 and not as_json and line is None and sys.stderr.isatty():
            console.say("waiting for requests; Ctrl-C ends it", err=True)
        if line is None:
            continue
        if seen == 0 and not as_json and "lost" not in line:
            click.echo(_HEADING)
        click.echo(json.dumps(line) if as_json else text(line))
        if "lost" not in line:
            seen += 1
        if seen == count:
            return 0
    console.say("guardian: the proxy has ended the stream", err=True)
    return 3


def text(line: dict[str, Any]) -> str:
    """One line of `/tail` for people."""
    if "lost" in line:
        return click.style(f"... {line['lost']:,} more came faster than they could be shown", fg="yellow")
    outcome = plain(line["outcome"])
    colour = _COLOURS.get(outcome, "red")
    client = plain(line["client"] or line["address"])
    place = f"{line['group']}/{line['device']}" if line["device"] else plain(line["group"])
    device_ms = f"{line['device_ms']:.2f}" if line["device_ms"] is not None else "-"
    cells = (
        f"{datetime.fromisoformat(line['time']).astimezone():%H:%M:%S.%f}"[:12],
        f"{client[:16]:16}",
        f"{plain(line['command']):4}",
        f"{plain(place):20}",
        click.style(f"{outcome:12}", fg=colour) if colour else f"{outcome:12}",
        f"{line['ms']:9.2f}",
        f"{device_ms:>9}",
        str(line["resent"]) if line["resent"] else "",
    )
    return "  ".join(cells).rstrip()
