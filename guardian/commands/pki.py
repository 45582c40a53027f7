"""`guardian pki`: a throw-away CA and what it signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
@click.option("--algorithm", type=click.Choice(["rsa", "ecdsa", "ecc"]), help="Kind of the keys: rsa, or ecdsa (ecc).")
@click.option(
    "--days", type=click.IntRange(1, 3650), default=90, show_default=True, help="How long everything is valid."
)
@click.option("--crl", is_flag=True, help="Write a revocation list too, empty at first.")
@click.option("--p12-password-file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Protects the clients' PKCS #12 files, as every OpenSSL since 1.0 reads it.")  # fmt: skip
@click.option("--add", "adding", is_flag=True, help="Use the CA that is in FOLDER for these clients and devices.")
@click.option("--renew", "renewed", multiple=True, metavar="NAME", help="A new one for that name; may repeat.")
@click.option("--revoke", "revoked", multiple=True, metavar="NAME", help="Revoke in an existing FOLDER; may repeat.")
@click.option("--force", is_flag=True, help="Replace what is in FOLDER.")
def pki(folder: Path, **given: Any) -> int:
    """Make a throw-away CA in FOLDER, and certificates for the proxy, its clients and its devices.

    For trying out and testing only: whoever can read FOLDER has all its keys. Nothing that is there is replaced unless
    --renew or --force says so. --add, --renew and --revoke work with the CA that is in FOLDER already; one of them at a
    time. --revoke writes FOLDER/ca.crl.
    """
    from guardian import pki as maker  # noqa: PLC0415 (cryptography)

    _check_usage(given)
    password = _password(given["p12_password_file"])
    days = given["days"]
    try:
        if given["revoked"]:
            console.say(f"{maker.revoke(folder, given['revoked'], days=days)}: revoked {', '.join(given['revoked'])}")
            return 0
        if given["renewed"]:
            paths = maker.renew(folder, given["renewed"], days=days, p12_password=password)
        elif given["adding"]:
            devices = _by_name(given["devices"])
            paths = maker.add(folder, clients=given["clients"], devices=devices, days=days, p12_password=password)
        else:
            paths = maker.make_pki(
                folder,
                algorithm="ecdsa" if given["algorithm"] in ("ecdsa", "ecc") else "rsa",
                server_hosts=given["hosts"] or maker.DEFAULT_HOSTS,
                clients=given["clients"],
                devices=_by_name(given["devices"]),
                days=days,
                crl=given["crl"],
                force=given["force"],
                p12_password=password,
            ).paths()
    except maker.PkiError as exc:
        console.say(f"guardian: {exc}", err=True)
        return 1
    for path in paths:
        console.say(str(path))
    console.say("for trying out and testing only: the keys are not protected", err=True)
    return 0


def _check_usage(given: Mapping[str, Any]) -> None:
    """What changes a folder that is there goes with what it can use. Raises UsageError."""
    makes = [name for name in ("clients", "devices") if given[name]]
    fresh = [name for name in ("hosts", "algorithm", "crl", "force") if given[name]]
    if given["revoked"] and (makes or fresh or given["adding"] or given["renewed"] or given["p12_password_file"]):
        raise click.UsageError("--revoke works on a folder that is there; it goes with --days only")
    if given["renewed"] and (makes or fresh or given["adding"]):
        raise click.UsageError("--renew makes the same again; it goes with --days and --p12-password-file only")
    if given["adding"] and (fresh or not makes):
        raise click.UsageError(
            "--add goes with --client, --device, --days and --p12-password-file; the kind of the keys is the CA's"
        )


def _password(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        lines = file.read_bytes().splitlines()
    except OSError as exc:
        raise click.BadParameter(f"cannot read {file}: {exc.strerror}", param_hint="'--p12-password-file'") from exc
    if len(lines) != 1 or not lines[0]:
        raise click.BadParameter(f"{file} must hold one line, the password", param_hint="'--p12-password-file'")
    return lines[0]


def _by_name(devices: Sequence[tuple[str, tuple[str, ...]]]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, hosts in devices:
        if name in found:
            raise click.UsageError(f"--device {name} is given twice; list its hosts with commas")
        found[name] = hosts
    return found
