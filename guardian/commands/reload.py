"""`guardian reload`: make the proxy read its configuration again, or say what that would do."""

from __future__ import annotations

import json
from typing import Any

import click

from guardian import console
from guardian.remote import Remote, admin_options

from .table import plain


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@admin_options
def reload(remote: Remote, dry_run: bool, as_json: bool) -> int:
    """Make the proxy read its configuration again, all of it or nothing.

    Prints each change, what of it is live at once and what needs a restart, and each problem of the file as
    FILE:LINE: key: what is wrong. Exit code 1 where the file is wrong or could not be applied: the old configuration
    then stays.
    """
    found = remote.reload(dry_run=dry_run)
    console.say(json.dumps(found, indent=1) if as_json else "\n".join(lines(found)))
    return 0 if found["result"] == "ok" else 1


def lines(found: dict[str, Any]) -> list[str]:
    """What `/reload` answers, for people."""
    made = [
        plain(f"{problem['file']}:{problem['line']}: {problem['key']}: {problem['message']}")
        + (" (only a warning)" if problem["severity"] == "warning" else "")
        for problem in found["problems"]
    ]
    if found["result"] != "ok":
        why = plain(found.get("error"))
        return [*made, f"refused: {why}; the configuration that runs stays as it is"]
    restart = [change for change in found["changes"] if change.endswith("needs a restart")]
    live = [change for change in found["changes"] if change not in restart]
    done = "would be" if found["dry_run"] else "is"
    if live:
        made += [f"{done} live at once:", *(f"  {plain(change)}" for change in live)]
    if restart:
        made += ["needs a restart:", *(f"  {plain(change.split(': ')[0])}" for change in restart)]
    if not found["changes"]:
        made.append(f"{plain(found['file'])} says what runs already{'' if found['dry_run'] else '; read again'}")
    elif not found["dry_run"]:
        made.append(f"reloaded {plain(found['file'])}")
    return made
