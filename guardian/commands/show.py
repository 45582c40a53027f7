"""`guardian show`: what a running proxy holds, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from guardian import console
from guardian.remote import Remote, admin_options

from .slowness import reasons
from .table import Column, age, lines, milliseconds, parsed, plain, span, whole

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_SHORT: Final = 12  # hexadecimal digits of a fingerprint: enough to tell two apart
_SOON: Final = 30 * 86_400.0  # seconds

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")


def _group_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from guardian.completing import group_names  # noqa: PLC0415 (only while a shell asks)

    return group_names(ctx, param, incomplete)


group_option = click.option("--group", metavar="GROUP", help="Only of this group.", shell_complete=_group_names)


def _limit_option(what: str) -> Callable[[Any], Any]:
    return click.option("--limit", type=click.IntRange(1, 10_000), default=1000, show_default=True, metavar="N",
                        help=f"At most so many {what}.")  # fmt: skip


@click.group()
def show() -> None:
    """Show what a running proxy holds: groups, devices, clients, ..."""


def _print(found: object, as_json: bool, text: Callable[[], Iterable[str]]) -> int:
    console.say(json.dumps(found, indent=1) if as_json else "\n".join(text()))
    return 0


def _table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = list(rows)
    return lines(columns, cells) if cells else ["none"]


# --- groups and devices ---------------------------------------------------------------------------------------------


@show.command()
@as_json_option
@admin_options
def groups(remote: Remote, as_json: bool) -> int:
    """Groups: devices in service, what waits, what they came to."""
    found = [{key: value for key, value in group.items() if key != "devices"} | {"serving": _serving(group),
             "configured": len(group["devices"])} for group in remote.status()["groups"]]  # fmt: skip
    columns = (
        Column("GROUP"), Column("TYPE"), Column("SERVING", right=True), Column("QUEUED", right=True),
        Column("REQUESTS", right=True), Column("OK", right=True), Column("ERRORS", right=True),
        Column("REFUSED", right=True), Column("RETRIES", right=True), Column("FAILOVERS", right=True),
        Column("SESSIONS", right=True), Column("PINNED", right=True),
    )  # fmt: skip

    def row(group: dict[str, Any]) -> list[str]:
        outcomes = group.get("requests", {})
        total, good, errors = sum(outcomes.values()), outcomes.get("ok", 0), outcomes.get("device_error", 0)
        return [
            plain(group["name"]), plain(group.get("type")), f"{group['serving']}/{group['configured']}",
            whole(group.get("queued")), whole(total), whole(good), whole(errors), whole(total - good - errors),
            whole(sum(group.get("retries", {}).values())), whole(group.get("failovers")),
            whole(group.get("sessions")), whole(sum(group.get("pinned", {}).values())),
        ]  # fmt: skip

    return _print({"groups": found}, as_json, lambda: _table(columns, map(row, found)))


def _serving(group: dict[str, Any]) -> int:
    return sum(bool(device.get("in_service")) for device in group["devices"])


@show.command()
@group_option
@as_json_option
@admin_options
def devices(remote: Remote, group: str | None, as_json: bool) -> int:
    """Devices: role, will, health and why, load, latency of the last minute."""
    groups = [each for each in remote.status()["groups"] if group in (None, each["name"])]
    found = [{"group": in_group["name"], **device} for in_group in groups for device in in_group["devices"]]
    why = {(each["name"], name): reason for each in groups for name, reason in reasons(each).items()}
    columns = (
        Column("DEVICE"), Column("ADDRESS"), Column("ROLE"), Column("WILL", coloured=True),
        Column("HEALTH", coloured=True), Column("SERVES", coloured=True), Column("OUTSTANDING", right=True),
        Column("REQUESTS", right=True), Column("ERRORS", right=True), Column("P50 ms", right=True),
        Column("P99 ms", right=True), Column("PING ms", right=True), Column("FOR", right=True), Column("WHY"),
    )  # fmt: skip

    def row(device: dict[str, Any]) -> list[str]:
        latency = device.get("latency_ms") or {}
        return [
            f"{device['group']}/{device['name']}", plain(device.get("address")), plain(device.get("role")),
            plain(device.get("will")), plain(device.get("health")), "yes" if device.get("in_service") else "no",
            f"{whole(device.get('outstanding'))}/{whole(device.get('limit'))}", whole(device.get("requests")),
            whole(device.get("errors")), milliseconds(latency.get("p50")), milliseconds(latency.get("p99")),
            milliseconds(device.get("last_ping_ms")), age(device.get("since")),
            why[device["group"], device["name"]] or " ",
        ]  # fmt: skip

    return _print({"devices": found}, as_json, lambda: _table(columns, map(row, found)))


# --- clients ----------------------------------------------------------------------------------------------------


@show.command()
@group_option
@click.option("--listener", metavar="LISTENER", help="Only those of this listener.")
@click.option("--name", metavar="NAME", help="Only those whose certificate has this Common Name.")
@_limit_option("clients")
@as_json_option
@admin_options
def clients(
    remote: Remote, group: str | None, listener: str | None, name: str | None, limit: int, as_json: bool
) -> int:
    """Clients: who they are by certificate, from where, since when; the busiest first."""
    found = remote.get("/clients", group=group, listener=listener, name=name, limit=limit)
    columns = (
        Column("CLIENT"), Column("FINGERPRINT"), Column("FROM"), Column("LISTENER"), Column("GROUP"), Column("KIND"),
        Column("OUTSTANDING", right=True), Column("REQUESTS", right=True), Column("FOR", right=True),
    )  # fmt: skip

    def row(client: dict[str, Any]) -> list[str]:
        return [
            plain(client["name"]), short(client["fingerprint"]), plain(client["address"]), plain(client["listener"]),
            plain(client["group"]), plain(client["kind"]), whole(client["outstanding"]), whole(client["requests"]),
            age(client["since"]),
        ]  # fmt: skip

    return _print(found, as_json, lambda: [*_table(columns, map(row, found["clients"])), *_rest(found, "clients")])


@show.command()
@group_option
@_limit_option("sessions")
@as_json_option
@admin_options
def sessions(remote: Remote, group: str | None, limit: int, as_json: bool) -> int:
    """Sessions: logins that are held, by certificate, and on which devices. Never who logged in, nor with what."""
    found = remote.get("/sessions", group=group, limit=limit)
    columns = (
        Column("CLIENT"), Column("FINGERPRINT"), Column("GROUP"), Column("CLIENTS", right=True),
        Column("QUEUED", right=True), Column("FOR", right=True), Column("CONNECTIONS"),
    )  # fmt: skip

    def row(session: dict[str, Any]) -> list[str]:
        connections = ", ".join(f"{device} {count}" for device, count in sorted(session["connections"].items()))
        return [
            plain(session["name"]), short(session["fingerprint"]), plain(session["group"]), whole(session["clients"]),
            whole(session["queued"]), age(session["since"]), connections,
        ]  # fmt: skip

    return _print(found, as_json, lambda: [*_table(columns, map(row, found["sessions"])), *_rest(found, "sessions")])


def short(fingerprint: str | None) -> str:
    """The beginning of it; `guardian tail --client sha256:...` takes such a beginning."""
    if fingerprint is None:
        return "-"
    kind, _, digits = fingerprint.partition(":")
    return f"{kind}:{digits[:_SHORT]}"


def _rest(found: dict[str, Any], part: str) -> list[str]:
    shown, total = len(found[part]), found["total"]
    return [f"{shown:,} of {total:,}; --limit shows more"] if shown < total else []


# --- commands, certificates, configuration ----------------------------------------------------------------------


@show.command()
@group_option
@click.option("--by", type=click.Choice(("slow", "refused", "requests")), default="slow", show_default=True,
              help="Which come first.")  # fmt: skip
@as_json_option
@admin_options
def commands(remote: Remote, group: str | None, by: str, as_json: bool) -> int:
    """Commands: counts by outcome and latency since the start; the slowest, most refused or most used first."""
    found = remote.get("/commands", group=group)
    if by != "slow":
        found["commands"].sort(key=lambda entry: -entry[by])
    columns = (
        Column("GROUP"), Column("COMMAND"), Column("REQUESTS", right=True), Column("P50 ms", right=True),
        Column("P99 ms", right=True), Column("ERRORS", right=True), Column("REFUSED", right=True),
        Column("OTHER THAN OK"),
    )  # fmt: skip

    def row(command: dict[str, Any]) -> list[str]:
        outcomes, latency = command["outcomes"], command["latency_ms"]
        others = sorted(((count, name) for name, count in outcomes.items() if name != "ok"), reverse=True)
        return [
            plain(command["group"]), plain(command["command"]), whole(command["requests"]),
            milliseconds(latency["p50"]), milliseconds(latency["p99"]), whole(outcomes.get("device_error", 0)),
            whole(command["refused"]), ", ".join(f"{name} {count:,}" for count, name in others) or " ",
        ]  # fmt: skip

    return _print(found, as_json, lambda: _table(columns, map(row, found["commands"])))


@show.command()
@as_json_option
@admin_options
def certificates(remote: Remote, as_json: bool) -> int:
    """Certificates and revocation lists: which ends next, and who uses it."""
    found = remote.get("/certificates")
    columns = (Column("ENDS"), Column("LEFT", right=True, coloured=True), Column("FILE"), Column("USED BY"))
    now = datetime.now(UTC)

    def row(certificate: dict[str, Any]) -> list[str]:
        end = parsed(certificate["expires"])
        left = (end - now).total_seconds() if end is not None else 0.0
        return [
            f"{end:%Y-%m-%d %H:%M} UTC" if end is not None else "-", span(left) if left > 0 else "expired",
            plain(certificate["file"]), ", ".join(certificate["used_by"]),
        ]  # fmt: skip

    def text() -> list[str]:
        made = _table(columns, map(row, found["certificates"]))
        soon = [each for each in found["certificates"] if (end := parsed(each["expires"])) is not None
                and (end - now).total_seconds() < _SOON]  # fmt: skip
        return [*made, *([f"{len(soon)} within 30 days"] if soon else [])]

    return _print(found, as_json, text)


@show.command()
@as_json_option
@admin_options
def config(remote: Remote, as_json: bool) -> int:
    """The configuration that runs, as it was read. What came from the environment stays ${env:NAME}."""
    found = remote.get("/config")
    head = f"# {plain(found['file'])}, read {plain(found['loaded'])}\n"
    return _print(found, as_json, lambda: [head + found["yaml"].rstrip("\n")])
