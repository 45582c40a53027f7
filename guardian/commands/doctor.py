"""`guardian doctor`: everything around a configuration that could go wrong, looked at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from guardian import console
from guardian.remote import RefusedError, Remote, UnreachableError, remote_for, shows_to_others

from .credentials import environment

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from config.model import Admin, AdminTls, Config, Device, DeviceTls, Group, ListenerTls
    from guardian.doctor.finding import Finding
    from guardian.doctor.judgement import Running

_USUAL: Final = (Path("guardian.yaml"), Path("/etc/guardian/guardian.yaml"))
_COLOURS: Final = {"ok": "green", "warning": "yellow", "problem": "red"}
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("config", type=_FILE, required=False)
@click.option("--admin", envvar="GUARDIAN_ADMIN", metavar="URL", help="The proxy's admin port; by default CONFIG's.")
@click.option(
    "--token-file",
    envvar="GUARDIAN_TOKEN_FILE",
    type=_FILE,
    help="Its token; by default CONFIG's, for CONFIG's own address only.",
)
@click.option("--no-devices", is_flag=True, help="Connect to no device.")
@click.option("--quiet", is_flag=True, help="Only warnings and problems.")
def doctor(config: Path | None, admin: str | None, token_file: Path | None, no_devices: bool, quiet: bool) -> int:
    """Look at clock, descriptors, certificates, names, disks, devices and the running proxy.

    CONFIG is by default guardian.yaml here, or /etc/guardian/guardian.yaml. Devices get one connection each, the ping
    and the group's probes, all of which only read; where one cannot be connected, its ports 9009 and 2001 are tried.
    One line for each finding: ok, warning or problem, and what to do. Exit code 1 if there is a problem.
    """
    path = _path(config)
    findings = _Told(quiet)
    loaded = _load(path, findings)
    if loaded is None:
        findings.sum_up()
        return 1
    running = _ask_proxy(loaded, admin, token_file, findings)
    _look_at_machine(loaded, running, findings)
    if not no_devices:
        _ask_devices(loaded, running, findings)
    findings.sum_up()
    return 1 if findings.counts["problem"] else 0


class _Told:
    """Prints findings as they come, and counts them."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self.counts = {"ok": 0, "warning": 0, "problem": 0}

    def say(self, finding: Finding) -> None:
        verdict = finding.verdict.value
        self.counts[verdict] += 1
        if verdict != "ok" or not self._quiet:
            word = click.style(f"{verdict:<7}", fg=_COLOURS[verdict])
            console.say(f"{word}  {_one_line(finding.about)}: {_one_line(finding.told)}")

    def all(self, found: Iterator[Finding] | Sequence[Finding]) -> None:
        for finding in found:
            self.say(finding)

    def sum_up(self) -> None:
        counts = self.counts
        parts = [f"{counts['ok']} fine", _count(counts["warning"], "warning"), _count(counts["problem"], "problem")]
        console.say(", ".join(parts), err=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _progress(text: str) -> None:
    """In place of the last one, where somebody can see it."""
    if sys.stderr.isatty():
        click.echo(f"\r{text}\033[K", nl=False, err=True)


def _one_line(text: str) -> str:
    """What others named must not steer a terminal."""
    from config.problems import one_line  # noqa: PLC0415

    return one_line(text)


def _path(given: Path | None) -> Path:
    if given is not None:
        return given
    found = next((path for path in _USUAL if path.is_file()), None)
    if found is None:
        raise click.UsageError(f"name a configuration; there is no {' and no '.join(map(str, _USUAL))}")
    return found


def _load(path: Path, findings: _Told) -> Config | None:
    from config.loader import load  # noqa: PLC0415 (YAML, cattrs and cryptography)
    from guardian.doctor.finding import ok, problem, warning  # noqa: PLC0415

    loaded = load(path, read_files=True, environment=environment())
    for each in loaded.problems:
        findings.say((problem if each.severity == "error" else warning)("configuration", str(each)))
    if loaded.config is not None and not loaded.problems:
        findings.say(ok("configuration", f"{path} and the files that it names are fine"))
    return loaded.config


def _ask_proxy(config: Config, admin: str | None, token_file: Path | None, findings: _Told) -> Running:
    from config.credentials import CredentialError  # noqa: PLC0415
    from guardian.doctor.finding import warning  # noqa: PLC0415
    from guardian.doctor.judgement import Running, judge_running  # noqa: PLC0415

    try:
        remote = _remote(config, admin, token_file)
        status = remote.status()
    except (UnreachableError, RefusedError, CredentialError, OSError, ValueError) as exc:
        told = exc.format_message() if isinstance(exc, click.ClickException) else console.one_line(exc)
        findings.say(warning("proxy", f"not asked: {told}"))
        return Running()
    devices = {f"{group.name}/{each.name}": str(each.address) for group in config.groups for each in group.devices}
    running = judge_running(status, remote.admin, devices)
    findings.all(running.findings)
    return running


def _remote(config: Config, admin: str | None, token_file: Path | None) -> Remote:
    """Where the options say, or else where the configuration does, whose token is for that address alone.

    Raises OSError, ValueError, `CredentialError`; click.UsageError for options that cannot be used.
    """
    settings = config.admin
    own = _reachable(settings)
    if admin is not None and admin.rstrip("/") != own:
        return remote_for(admin, token_file, None, None, None)
    file = token_file or settings.token_file or next((token.file for token in settings.tokens), None)
    token = file.read_text("ascii").strip() if file is not None else None
    if token is not None and shows_to_others(own):
        raise ValueError(f"{own} would show the token to whoever is on the way; give admin.tls, or bind to loopback")
    context = None
    if settings.tls is not None and own.startswith("https:"):
        context = _trusting_only(settings.tls)
        if settings.tls.ca and token is None:
            raise ValueError("it wants a client certificate, ask it with `guardian status`")
    return Remote(admin=own, token=token, tls=context)


def _trusting_only(tls: AdminTls) -> ssl.SSLContext:
    """Lets nobody hear the token but who shows the certificate of the configuration. Raises `CredentialError`."""
    import ssl  # noqa: PLC0415

    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    from config.credentials import load_credentials  # noqa: PLC0415

    own = load_credentials(tls.certificate, tls.key, tls.key_password_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody yet, as a default context would the system's CAs
    context.check_hostname = False  # it is this one certificate, whatever it is called
    context.load_verify_locations(cadata=own.certificate.public_bytes(Encoding.PEM).decode("ascii"))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _reachable(admin: Admin) -> str:
    from config.model import UnixBind  # noqa: PLC0415

    wild = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared, not bound
    if isinstance(admin.bind, UnixBind):
        return str(admin.bind)
    host = wild.get(admin.bind.host)
    place = str(admin.bind) if host is None else f"{host}:{admin.bind.port}"
    return f"{'https' if admin.tls is not None else 'http'}://{place}"


def _look_at_machine(config: Config, running: Running, findings: _Told) -> None:
    from guardian.doctor import judgement, machine  # noqa: PLC0415

    now = time.time()
    begins, ends = _dates(config)
    findings.all(judgement.judge_clock(now, machine.synchronised(), running.now, begins))
    limit = running.descriptors or machine.descriptor_limit()
    whose = "the running proxy" if running.descriptors else "a process of this shell"
    findings.say(judgement.judge_descriptors(config, limit, whose))
    findings.all(judgement.judge_ends(now, ends, running.ends))
    _look_at_names(config, findings)
    findings.all(judgement.judge_places(machine.places(_written(config))))


def _dates(config: Config) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """When the files of certificates begin, and when they or their lists end."""
    from config.credentials import CredentialError, load_certificates  # noqa: PLC0415
    from config.expiry import expiries  # noqa: PLC0415

    ends: dict[str, float] = {}
    for tls in _tls(config):
        ends.update(expiries(tls))
    begins = {}
    for file in ends:
        try:
            begins[file] = max(each.not_valid_before_utc.timestamp() for each in load_certificates([Path(file)]))
        except CredentialError:  # a revocation list, or PKCS #12
            continue
    return begins, ends


def _tls(config: Config) -> Iterator[ListenerTls | DeviceTls | AdminTls]:
    yield from (listener.tls for listener in config.listeners)
    yield from (device.tls for group in config.groups for device in group.devices)
    if config.admin.tls is not None:
        yield config.admin.tls
    if config.audit.syslog is not None:
        yield config.audit.syslog.tls


def _look_at_names(config: Config, findings: _Told) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    from balancer.transport.peers import read_certificate  # noqa: PLC0415
    from config.credentials import load_credentials  # noqa: PLC0415
    from guardian.doctor import machine  # noqa: PLC0415
    from guardian.doctor.judgement import judge_listener_name  # noqa: PLC0415

    for listener in config.listeners:
        tls = listener.tls
        if tls.certificate is None:
            continue
        leaf = load_credentials(tls.certificate, tls.key, tls.key_password_file).certificate
        shown = read_certificate(leaf.public_bytes(Encoding.DER))
        findings.say(judge_listener_name(listener.name, listener.bind.host, shown, machine.own_names()))


def _written(config: Config) -> list[tuple[str, Path]]:
    """The files that the proxy writes, by the key that names them."""
    found = [
        (f"groups.{group.name}.writes.journal", group.writes.journal)
        for group in config.groups
        if group.writes.journal is not None
    ]
    if config.audit.file is not None:
        found.append(("audit.file", config.audit.file))
    return found


def _ask_devices(config: Config, running: Running, findings: _Told) -> None:
    import trio  # noqa: PLC0415

    from guardian.doctor.asking import ask_all  # noqa: PLC0415
    from guardian.doctor.device import judge_devices  # noqa: PLC0415

    wanted: list[tuple[Group, Device]] = [
        (group, device)
        for group in config.groups
        for device in group.devices
        if f"{group.name}/{device.name}" not in running.maintained
    ]
    done = 0

    def told(_asked: object) -> None:
        nonlocal done
        done += 1
        _progress(f"{done} of {len(wanted)} devices asked")

    _progress(f"asking {len(wanted)} devices")
    asked = trio.run(ask_all, wanted, told)
    _progress("")
    for group in config.groups:
        findings.all(judge_devices([each for each in asked if each.group is group], time.time()))
