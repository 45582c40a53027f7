"""`guardian learn`: watch live traffic, and propose configuration from it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

import click

from config.units import parse_duration
from guardian import console
from guardian.remote import RefusedError, Remote, admin_options

_POLL: Final = 1.0  # seconds between two looks
_SPARE: Final = 30.0  # seconds after its time by which a lesson must have ended


def _duration(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    try:
        parse_duration(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc
    return value


@click.command()
@click.option("--for", "duration", callback=_duration, default="10m", show_default=True, metavar="DURATION",
              help="How long to watch.")  # fmt: skip
@click.option("--group", metavar="GROUP", help="Watch this group only; by default all of them.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--show", is_flag=True, help="Watch nothing, print what was learned last.")
@click.option("--stop", is_flag=True, help="End the lesson that is going on, and print what it has learned.")
@admin_options
def learn(remote: Remote, duration: str, group: str | None, as_json: bool, show: bool, stop: bool) -> int:
    """Watch a running proxy's traffic and propose configuration from it.

    Prints which commands each client used, which of them the catalogue does not know, when they came and with which
    tags; and proposes sessions, context, pipeline and an allow-list for each client, with reasons. Never prints a
    value: of fields it says what they are made of and about how long they are, of ERRO answers the number and the tag
    they name, and of answers to possible logins single letters such as Y.

    The proxy stops watching by itself when the time is over. If this command is interrupted, --show prints the result
    later. Exit code 1 if nothing was seen.
    """
    if show and stop:
        raise click.UsageError("--show and --stop exclude each other")
    if stop:
        remote.stop_learning()
    found = remote.learned() if show or stop else _watch(remote, duration, group)
    if found["state"] == "none":
        raise RefusedError("nothing was learned yet")
    if "groups" not in found:
        raise RefusedError(f"somebody is still learning, for {found['left']:.0f} s more; --stop ends it")
    console.say(json.dumps(found, indent=1) if as_json else "\n".join(lines(found)))
    return 0 if found["requests"] else 1


def _watch(remote: Remote, duration: str, group: str | None) -> dict[str, Any]:
    begun = remote.learn(duration, group)
    console.say(f"watching {group or 'all groups'} for {duration}; --stop ends it, --show prints it later", err=True)
    live = sys.stderr.isatty()
    deadline = time.monotonic() + begun["for"] + _SPARE
    while True:
        found = remote.learned()
        if found["number"] != begun["number"]:
            raise RefusedError("somebody else began to learn after this had ended")
        if live:
            click.echo(f"\r{found['requests']} requests, {found['left']:.0f} s left \x1b[K", nl=False, err=True)
        if "groups" in found:
            if live:
                console.say("", err=True)
            return found
        if time.monotonic() > deadline:
            raise RefusedError("the proxy did not end the lesson in time")
        time.sleep(min(_POLL, max(found["left"], 0.05)))


# --- text -------------------------------------------------------------------------------------------------------


def lines(found: dict[str, Any]) -> list[str]:
    """What `/learning` answers after a lesson, for people."""
    made = [f"watched {found['watched']:.0f} s, {found['requests']} requests"]
    if found["state"] == "failed":
        made.append("a fault of the proxy's own ended it early; its log says more")
    for name, group in found["groups"].items():
        made += ["", f"group {name}: {group['requests']} requests"]
        if group["dropped"]:
            made.append(f"  no room for: {_counts(group['dropped'])}")
        if group["unknown"]:
            made.append(f"  not in the catalogue: {', '.join(group['unknown'])}")
        for client in group["clients"]:
            made += _client(client)
        made += ["", "  proposed (paste what you agree with into your configuration):", ""]
        made += group["yaml"].splitlines()
    return [_plain(line) for line in made]


def _client(client: dict[str, Any]) -> list[str]:
    made = [
        "",
        f"  client {client['name']}: {client['connections']} connections, {client['from_start']} from their start"
        + (f", {client['malformed']} requests that were no message" if client["malformed"] else ""),
    ]
    for code in client["codes"]:
        made.append(f"    {code['code']}  {code['effect']}, {code['requests']} requests: {_counts(code['outcomes'])}")
        if code["first"] or code["positions"]:
            made.append(f"          came first on {code['first']} connections; as request {_counts(code['positions'])}")
        for word in ("after", "before"):
            if code[word]:
                made.append(f"          directly {word} {_counts(code[word])}")
        for word in ("request", "answer"):
            tags = code[f"{word}_tags"]
            if tags:
                shown = ", ".join(f"{tag} ({' / '.join(kinds)})" for tag, kinds in sorted(tags.items()))
                made.append(f"          {word}: {shown}")
        if code["context"]["asked"]:
            made.append(f"          AG repeated in {code['context']['repeated']} of {code['context']['asked']} answers")
        if code["errors"]["numbers"]:
            made.append(
                f"          ERRO: AM {_counts(code['errors']['numbers'])}; AN {_counts(code['errors']['tags'])}"
            )
    return made


def _counts(counts: dict[str, int]) -> str:
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{key} x{count}" for key, count in most)


def _plain(text: str) -> str:
    """Without control characters: what a certificate says of its owner must not steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
