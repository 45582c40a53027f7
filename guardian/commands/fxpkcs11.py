"""`guardian fxpkcs11`: a client's fxpkcs11.cfg, checked against this proxy, or written for it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guardian import console

from .credentials import environment

if TYPE_CHECKING:
    from config.catalogue import Catalogue
    from config.fxpkcs11 import ClientFile
    from config.model import Bind, Config
    from guardian.fxpkcs11 import composition
    from guardian.fxpkcs11.offer import Offer
    from guardian.fxpkcs11.token import Token

_FILE = click.Path(dir_okay=False, path_type=Path)
_USUAL = Path("/etc/fxpkcs11.cfg")
_KNOWN = ("vault", "vsec-cms", "openssh")


@click.group()
def fxpkcs11() -> None:
    """Check a client's fxpkcs11.cfg, or write one."""


def _address(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Bind | None:
    from config.units import parse_bind  # noqa: PLC0415 (only when asked)

    if value is None:
        return None
    try:
        return parse_bind(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


@fxpkcs11.command()
@click.argument("cfg", type=_FILE, required=False, envvar="FXPKCS11_CFG")
@click.option("--config", type=_FILE, help="The proxy's configuration: says which listener it is, and its rules.")
@click.option(
    "--address", callback=_address, metavar="HOST:PORT", help="Where the proxy is, without its configuration."
)
@click.option("--for", "wanted", type=click.Choice(_KNOWN), multiple=True, help="What must work; may repeat.")
@click.option("--no-connect", is_flag=True, help="Only read files.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 600), default=5.0, show_default=True, help="Seconds for each step."
)
def check(
    cfg: Path | None, config: Path | None, address: Bind | None, wanted: Sequence[str], no_connect: bool, timeout: float
) -> int:
    """Say what of CFG will not work through the proxy, and try the connection as the client would.

    CFG is by default where the library looks for it: $FXPKCS11_CFG, or /etc/fxpkcs11.cfg.

    One line for each problem: FILE:LINE: TAG: what is wrong, what would be right. Passwords are never shown. The
    connection is made with the client's own key and certificate, to ADDRESS and PROD-PORT of CFG or to --address, and
    asks for nothing but ECHO. Exit code 1 if there is a problem, 3 if only the proxy could not be reached.
    """
    from guardian.fxpkcs11.examination import examine  # noqa: PLC0415 (cryptography)

    if cfg is None:
        if not _USUAL.is_file():
            raise click.UsageError(f"name a file: FXPKCS11_CFG is not set, and there is no {_USUAL}")
        cfg = _USUAL
    if config is not None and address is not None:
        raise click.UsageError("--config and --address exclude each other: the configuration says where the proxy is")
    if wanted and config is None:
        raise click.UsageError("--for needs --config, which has the rules")
    proxy = _read_proxy(config) if config is not None else None
    if config is not None and proxy is None:
        return 1
    examined = examine(cfg, now=time.time(), proxy=proxy, address=address, wanted=tuple(wanted))
    for problem in examined.problems:
        console.say(f"{problem}{' (only a warning)' if problem.severity == 'warning' else ''}")
    unreachable = refused = 0
    for token, _ in examined.tokens if not no_connect else ():
        reached = _try(token, address, timeout)
        unreachable += reached is None
        refused += reached is False
    _sum_up(cfg, examined.errors, examined.tokens)
    return 1 if examined.errors or refused else 3 if unreachable else 0


def _read_proxy(path: Path) -> tuple[Config, tuple[Offer, ...]] | None:
    """None where it cannot be used, which is told."""
    from config.credentials import CredentialError  # noqa: PLC0415
    from guardian.fxpkcs11.offer import offers  # noqa: PLC0415

    read = _load(path)
    if read is None:
        return None
    try:
        return read[0], offers(*read)
    except CredentialError as exc:
        console.say(f"guardian: {path}: {exc}", err=True)
        return None


def _load(path: Path) -> tuple[Config, Catalogue] | None:
    from config.catalogue import load_catalogue  # noqa: PLC0415 (YAML and cattrs)
    from config.loader import load  # noqa: PLC0415

    loaded = load(path, environment=environment())
    if loaded.config is None:
        for problem in loaded.errors:
            console.say(str(problem), err=True)
        console.say(f"guardian: {path} has problems; `guardian check {path}` has them all", err=True)
        return None
    return loaded.config, load_catalogue(loaded.config.catalogue)[0]


def _try(token: Token, address: Bind | None, timeout: float) -> bool | None:
    """Connect as the client would, telling each step. False: refused, or wrongly answered; None: not reached."""
    from config.problems import one_line  # noqa: PLC0415
    from guardian.fxpkcs11.attempt import Step, attempt  # noqa: PLC0415
    from guardian.fxpkcs11.trust import NotTriedError, context_of  # noqa: PLC0415

    host, port = (address.host, address.port) if address is not None else (token.address, token.port)
    where = f"<{token.section.name}> of line {token.section.line}"
    if not host:
        console.say(f"{where}: no connection tried: there is no ADDRESS")
        return True  # an error of its own
    try:
        context = context_of(token)
    except NotTriedError as exc:
        console.say(f"{where}: no connection tried: {exc}")
        return True  # what it could not read has been told
    console.say(f"{where}: connecting to {one_line(host)} port {port}")
    failed = None
    for done in attempt(host, port, context, timeout):
        told = one_line(f"{done.told}: {done.meaning}" if done.meaning else done.told)
        verdict = click.style("ok", fg="green") if done.good else click.style("FAILED", fg="red")
        console.say(f"  {done.step.value:<5} {verdict}  {told}")
        failed = None if done.good else done.step
    if failed is None:
        return True
    return None if failed in (Step.RESOLVE, Step.CONNECT) else False


def _sum_up(cfg: Path, errors: int, tokens: Sequence[tuple[Token, Offer | None]]) -> None:
    for token, offer in tokens:
        if offer is not None:
            console.say(
                f"<{token.section.name}> of line {token.section.line} is for listener {offer.listener.name}, "
                f"group {offer.group.name}{_good_for(token, offer)}"
            )
    if errors:
        console.say(f"{cfg}: {errors} problem{'' if errors == 1 else 's'}", err=True)


def _good_for(token: Token, offer: Offer) -> str:
    from guardian.fxpkcs11.permission import INTEGRATIONS, blocked  # noqa: PLC0415
    from guardian.fxpkcs11.protection import identity  # noqa: PLC0415

    rules = offer.rules.of(identity(token))
    fitting = [each for each in INTEGRATIONS.values() if each.type is offer.group.type]
    if rules is None or not fitting:
        return ""
    said = []
    for each in fitting:
        stopped = blocked(rules, each.needs(offer.catalogue))
        said.append(f"{each.title}: {'blocked ' + ', '.join(stopped) if stopped else 'every function it needs'}")
    return f" ({'; '.join(said)})"


@fxpkcs11.command()
@click.option("--config", type=_FILE, required=True, help="The proxy's configuration.")
@click.option("--listener", "name", metavar="NAME", help="Which listener; needed where there are several.")
@click.option("--from", "source", type=_FILE, help="A client's file: change what must be changed, keep the rest.")
@click.option("--address", metavar="HOST", help="Where clients reach the listener.")
@click.option("--client-name", metavar="NAME", help="A client of `guardian pki`, in the folder of the listener's CA.")
@click.option("--certificate", type=_FILE, help="The client's certificate.")
@click.option("--key", type=_FILE, help="Its key: PKCS #1, #8 or #12.")
@click.option("--key-password-file", type=_FILE, help="The key's password, for PROD-TLS-KEY-PASS.")
@click.option("--ca", type=_FILE, help="The CA of the listener's certificate.")
@click.option("--user", metavar="NAME", help="Who logs in: CRYPTO-OPR.")
@click.option("--label", metavar="TEXT", help="The token's label; by default the group's name.")
@click.option("--output", type=_FILE, help="Write this file, which must not be there, instead of printing.")
def render(
    config: Path, name: str | None, source: Path | None, output: Path | None, ca: Path | None, address: str | None,
    **client: object,
) -> int:  # fmt: skip
    """Write an fxpkcs11.cfg for a listener.

    Without --from a new one. The paths in it are those of this machine. A password is written only where
    --key-password-file gives one; the file is then its owner's alone.
    """
    from guardian.fxpkcs11 import composition  # noqa: PLC0415 (cryptography)

    proxy = _read_proxy(config)
    if proxy is None:
        return 1
    offer = _choose(proxy[1], name)
    try:
        if offer.certificate and ca is None:
            ca = composition.authority_of(offer)
        who = _client(offer, client)
        settings = composition.settings_for(offer, address or composition.address_of(offer), ca and ca.absolute(), who)
        file = composition.composed(offer, settings) if source is None else _adapted(source, offer, settings)
    except (composition.NotComposedError, ValueError) as exc:
        console.say(f"guardian: {f'{source}: ' if source else ''}{exc}", err=True)
        return 1
    if output is None:
        console.say(file.render().removesuffix("\n"))
        return 0
    return _write(output, file.render().encode("utf-8", "surrogateescape"))


def _choose(offers: Sequence[Offer], name: str | None) -> Offer:
    names = ", ".join(offer.listener.name for offer in offers)
    if name is None and len(offers) > 1:
        raise click.UsageError(f"there are several listeners, say --listener: {names}")
    found = next((offer for offer in offers if name in (None, offer.listener.name)), None)
    if found is None:
        raise click.BadParameter(f"{name!r} is no listener; there are: {names}", param_hint="'--listener'")
    return found


def _client(offer: Offer, given: dict[str, object]) -> composition.Client:
    from guardian.fxpkcs11 import composition  # noqa: PLC0415

    certificate, key, password_file = given["certificate"], given["key"], given["key_password_file"]
    if given["client_name"] is not None and offer.listener.tls.ca:
        if certificate is not None or key is not None:
            raise click.UsageError("--client-name stands for --certificate and --key")
        certificate, key = composition.files_of(offer.listener.tls.ca[0].parent, str(given["client_name"]))
    password = None
    if isinstance(password_file, Path):
        try:
            password = password_file.read_text("utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
            raise click.BadParameter(f"cannot read {password_file}: {why}", param_hint="'--key-password-file'") from exc
    return composition.Client(
        certificate=certificate.absolute() if isinstance(certificate, Path) else None,
        key=key.absolute() if isinstance(key, Path) else None,
        password=password,
        user=str(given["user"]) if given["user"] is not None else None,
        label=str(given["label"]) if given["label"] is not None else None,
    )


def _adapted(source: Path, offer: Offer, settings: Mapping[str, Sequence[str]]) -> ClientFile:
    from config.fxpkcs11 import parse  # noqa: PLC0415
    from guardian.fxpkcs11.composition import NotComposedError, adapted  # noqa: PLC0415
    from guardian.fxpkcs11.examination import read_text  # noqa: PLC0415

    text = read_text(source)
    if not isinstance(text, str):
        raise NotComposedError(text.message)
    return adapted(parse(text), offer, settings)


def _write(path: Path, data: bytes) -> int:
    """Only a new file, and its owner's alone: it may have a password."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
    except FileExistsError:
        console.say(f"guardian: {path} is there already; name another file, or move it away", err=True)
        return 1
    except OSError as exc:
        console.say(f"guardian: {path} cannot be written: {exc.strerror}", err=True)
        return 1
    console.say(str(path))
    return 0
