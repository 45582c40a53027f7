"""`guardian simulate`: one emulated device as a program."""

from __future__ import annotations

import gc
import json
import os
import signal
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import click
import trio
from cryptography import x509

from config.units import parse_bind, parse_duration
from loadtest.framing import Framing

from .device import SimulatedDevice
from .hsm import Refusals
from .identity import DEFAULT_DIRECTORY, Directory
from .keypool import KeyPool
from .notation import FAULT_FORM, LATENCY_FORM, parse_error, parse_event, parse_latencies
from .registry import Kind
from .schedule import Event, follow
from .session import SessionLimits
from .tls import server_context
from .users import only_user, read_users

_T = TypeVar("_T")
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--bind", default="127.0.0.1:0", show_default=True, help="Address; port 0 lets the kernel choose.")
@click.option("--name", default="hsm", show_default=True, help="Its serial number follows from it.")
@click.option("--type", "kind", type=click.Choice([kind.value for kind in Kind]), default="hsm", show_default=True)
@click.option("--model", help="With one, ECHO and HASH tell model and firmware.")
@click.option("--firmware", default="emulated 1.0", show_default=True)
@click.option("--tls-mode", type=click.Choice(["mutual", "server", "clear"]), default="mutual", show_default=True)
@click.option("--certificate", type=_FILE, help="PEM, the leaf first.")
@click.option("--key", type=_FILE, help="PEM; by default in the certificate's file.")
@click.option("--key-password-file", type=_FILE)
@click.option("--ca", type=_FILE, multiple=True, help="Who signs the certificates of clients.")
@click.option("--framing", type=click.Choice([framing.value for framing in Framing]), default="excrypt")
@click.option("--latency", multiple=True, metavar="[CODE=]LATENCY", help=LATENCY_FORM)
@click.option("--capacity", type=click.IntRange(1), help="Requests worked on at once.")
@click.option("--parallel", type=click.IntRange(1), default=1, help="Requests of one connection worked on at once.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Requests per second; more wait.")
@click.option("--connections", type=click.IntRange(1), help="Connections; more are reset.")
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help=FAULT_FORM)
@click.option("--major-key-seed", default="guardian", show_default=True, help="Devices with the same one share keys.")
@click.option("--slots", type=click.IntRange(1, 10_000), default=256, show_default=True, help="Size of the key table.")
@click.option("--users", type=_FILE, help="YAML of roles and identities.")
@click.option("--user", help="The only identity. Without --password-file it logs in by its certificate alone.")
@click.option("--password-file", type=_FILE)
@click.option("--open", "everything", is_flag=True, help="Permit every function before login.")
@click.option("--logins-required", type=click.IntRange(1, 2), default=1, show_default=True)
@click.option("--session-idle", metavar="DURATION", help="A login ends after so long without a request.")
@click.option("--session-age", metavar="DURATION", help="A login ends after so long.")
@click.option("--session-requests", type=click.IntRange(1), help="A login ends after so many requests.")
@click.option("--login-ca", type=_FILE, multiple=True, help="Who signs the certificates of RKLG's two steps.")
@click.option("--no-certificate-login", is_flag=True, help="A TLS certificate with a user's name is no login.")
@click.option("--wrong-passwords", type=click.IntRange(1), help="Wrong passwords in a row that lock an account.")
@click.option("--login-required", metavar="NUMBER:TEXT", help="The error that asks for a login; 20:LOGIN REQUIRED.")
@click.option("--session-expired", metavar="NUMBER:TEXT", help="The same after a limit ended the login.")
@click.option("--key-pool", type=click.IntRange(0), default=0, help="RSA keys of 2,048 bits to make before serving.")
@click.option("--seed", type=int, default=0, help="Of random latencies.")
def simulate(**given: Any) -> int:
    """Be one emulated HSM until SIGTERM or SIGINT.

    Prints one line of JSON when it serves; its `address` is the real one.
    """
    events = [_read("--fault", parse_event, text) for text in given["faults"]]
    device = SimulatedDevice(
        given["name"],
        kind=Kind(given["kind"]),
        model=given["model"],
        firmware=given["firmware"],
        tls=_tls(given),
        bind=_address(given["bind"]),
        framing=Framing(given["framing"]),
        directory=_directory(given),
        major_key_seed=given["major_key_seed"],
        slots=given["slots"],
        latency=_read("--latency", parse_latencies, given["latency"]),
        capacity=given["capacity"],
        rate=given["rate"],
        parallel=given["parallel"],
        connections=given["connections"],
        logins_required=given["logins_required"],
        session_limits=SessionLimits(
            idle=_duration(given, "session_idle"),
            age=_duration(given, "session_age"),
            requests=given["session_requests"],
        ),
        certificate_login=not given["no_certificate_login"],
        wrong_passwords=given["wrong_passwords"],
        refusals=_refusals(given),
        key_pool=KeyPool(),
        journal_limit=0,
        seed=given["seed"],
    )
    device.hsm.key_pool.fill(given["key_pool"])
    if (problem := trio.run(_serve, device, events, given["tls_mode"])) is not None:
        raise click.ClickException(f"cannot listen on {given['bind']}: {problem.strerror or problem}") from problem
    return 0


async def _serve(device: SimulatedDevice, events: Sequence[Event], tls_mode: str) -> OSError | None:
    """Serve until a signal comes. Gives the error if it cannot begin."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            try:
                await nursery.start(device.serve)
            except OSError as exc:
                return exc
            host, port = device.address
            ready = {
                "event": "ready",
                "name": device.name,
                "address": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
                "tls": tls_mode,
                "framing": device.framing.value,
                "serial": device.hsm.serial,
                "pid": os.getpid(),
            }
            print(json.dumps(ready), flush=True)
            gc.collect()
            gc.freeze()
            nursery.start_soon(follow, device, events)
            async for _ in signals:
                nursery.cancel_scope.cancel()
                break
    return None


def _tls(given: dict[str, Any]) -> ssl.SSLContext | None:
    mode, certificate, ca = given["tls_mode"], given["certificate"], given["ca"]
    if mode == "clear":
        return None
    if certificate is None:
        raise click.UsageError(f"--tls-mode {mode} needs --certificate")
    if mode == "mutual" and not ca:
        raise click.UsageError("--tls-mode mutual needs --ca")
    try:
        password = _first_line(given["key_password_file"])
        return server_context(certificate, given["key"], ca if mode == "mutual" else (), password)
    except ssl.SSLError as exc:
        reason = exc.reason or "not a certificate with its key"
        raise click.ClickException(f"{certificate}: {reason.lower().replace('_', ' ')}") from exc
    except OSError as exc:
        files = [file for file in (certificate, given["key"], given["key_password_file"], *ca) if file]
        at_fault = next((file for file in files if not os.access(file, os.R_OK)), certificate)
        raise click.ClickException(f"{at_fault}: {exc.strerror or exc}") from exc


def _directory(given: dict[str, Any]) -> Directory:
    users, user, password_file = given["users"], given["user"], given["password_file"]
    if users and user:
        raise click.UsageError("--users and --user exclude each other")
    if password_file and not user:
        raise click.UsageError("--password-file needs --user")
    directory = DEFAULT_DIRECTORY
    try:
        if users:
            directory = read_users(users)
        elif user:
            directory = only_user(user, password_file)
    except OSError as exc:
        raise click.ClickException(f"{exc.filename}: {exc.strerror}") from exc
    except ValueError as exc:
        raise click.ClickException(f"{users or password_file}: {exc}") from exc
    authorities = tuple(authority for file in given["login_ca"] for authority in _certificates(file))
    directory = attrs.evolve(directory, authorities=authorities)
    return directory.open_to_all() if given["everything"] else directory


def _certificates(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except OSError as exc:
        raise click.ClickException(f"{file}: {exc.strerror}") from exc
    except ValueError as exc:
        raise click.ClickException(f"{file}: no PEM certificate") from exc


def _refusals(given: dict[str, Any]) -> Refusals:
    login = given["login_required"]
    expired = given["session_expired"]
    usual = Refusals()
    return Refusals(
        login_required=_read("--login-required", parse_error, login) if login else usual.login_required,
        expired=_read("--session-expired", parse_error, expired) if expired else None,
    )


def _address(text: str) -> tuple[str, int]:
    bind = _read("--bind", parse_bind, text)
    return bind.host, bind.port


def _duration(given: dict[str, Any], name: str) -> float | None:
    text = given[name]
    return None if text is None else _read(f"--{name.replace('_', '-')}", parse_duration, text)


def _read(option: str, parser: Callable[[Any], _T], text: Any) -> _T:
    try:
        return parser(text)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint=option) from exc


def _first_line(file: Path | None) -> str | None:
    return None if file is None else file.read_text(encoding="utf-8").partition("\n")[0]
