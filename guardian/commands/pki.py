"""`guardian pki`: a throw-away CA and what it signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from guardian import console


class NamedHosts(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """``NAME=HOST[,HOST...]``, or a NAME that is its own host."""

    name = "NAME=HOST[,HOST]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[str, ...]]:
        """The name and its hosts."""
        name, equals, listed = str(value).partition("=")
        hosts = tuple(host.strip() for host in listed.split(",")) if equals else (name,)
        if not name or not all(hosts):
            self.fail(f"{value!r} is not NAME=HOST[,HOST], as in hsm1=10.0.8.30", param, ctx)
        return name, hosts


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--client", "clients", multiple=True, metavar="NAME", help="A client's certificate; may repeat.")
@click.option("--device", "devices", multiple=True, type=NamedHosts(), help="A device's certificate; may repeat.")
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="A name or address of the proxy; may repeat.")
@click.option(
    "--algorithm", type=click.Choice(["rsa", "ecdsa"]), default="rsa", show_default=True, help="Kind of the keys."
)
@click.option(
    "--days", type=click.IntRange(1, 3650), default=90, show_default=True, help="How long everything is valid."
)
@click.option("--crl", is_flag=True, help="Write a revocation list too, empty at first.")
@click.option("--revoke", "revoked", multiple=True, metavar="NAME", help="Revoke in an existing FOLDER; may repeat.")
@click.option("--force", is_flag=True, help="Replace what is in FOLDER.")
def pki(
    folder: Path,
    clients: Sequence[str],
    devices: Sequence[tuple[str, tuple[str, ...]]],
    hosts: Sequence[str],
    algorithm: str,
    days: int,
    crl: bool,
    revoked: Sequence[str],
    force: bool,
) -> int:
    """Make a throw-away CA in FOLDER, and certificates for the proxy, its clients and its devices.

    For trying out and testing only: whoever can read FOLDER has all its keys. With --revoke nothing is made but a new
    revocation list, FOLDER/ca.crl.
    """
    from guardian import pki as maker  # noqa: PLC0415 (cryptography)

    if revoked and (clients or devices or hosts or crl or force):
        raise click.UsageError("--revoke works on a folder that is there; it goes with --days only")
    try:
        if revoked:
            console.say(f"{maker.revoke(folder, revoked, days=days)}: revoked {', '.join(revoked)}")
            return 0
        files = maker.make_pki(
            folder,
            algorithm="ecdsa" if algorithm == "ecdsa" else "rsa",
            server_hosts=hosts or maker.DEFAULT_HOSTS,
            clients=clients,
            devices=_by_name(devices),
            days=days,
            crl=crl,
            force=force,
        )
    except maker.PkiError as exc:
        console.say(f"guardian: {exc}", err=True)
        return 1
    for path in files.paths():
        console.say(str(path))
    console.say("for trying out and testing only: the keys are not protected", err=True)
    return 0


def _by_name(devices: Sequence[tuple[str, tuple[str, ...]]]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, hosts in devices:
        if name in found:
            raise click.UsageError(f"--device {name} is given twice; list its hosts with commas")
        found[name] = hosts
    return found
