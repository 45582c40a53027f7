"""The command: options and a file to a run, a run to reports and an exit code."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

from config.yaml_source import Node
from loadtest.compare.command import find_guardian
from loadtest.compare.contenders import NotInstalledError
from loadtest.compare.machine import describe_machine

from . import chart, json_report, text_report
from .crew import Crew, FailedError, UnreachableError
from .help_sections import SectionedCommand
from .live import watching
from .nodes import ScenarioError, section, sequence, word
from .options import mix_nodes, nested, phase_nodes, words
from .reading import read
from .requirement import Requirement, parse_requirement
from .result import Result
from .scenario import Scenario
from .verdict import Verdict, judge_run
from .worker import SetUpError, login_messages, peers

NO, WRONG_USE, UNREACHABLE = 1, 2, 3
_SUFFIXES: Final = {".json", ".txt", ".svg"}
_SECTIONS: Final = {
    "Whom": (
        "connect",
        "cert",
        "key",
        "key_password_file",
        "ca",
        "tls",
        "name",
        "no_name_check",
        "framing",
    ),
    "How much": (
        "rate",
        "burst",
        "clients",
        "duration",
        "warmup",
        "phase",
        "poisson",
        "connections",
        "depth",
        "processes",
    ),
    "What": ("mix", "size", "echo", "login", "password_file", "users", "seed"),
    "What counts": ("timeout", "connect_timeout", "late", "require"),
    "What is told": ("report", "quiet"),
}
_EXAMPLES: Final = """\
Open loop, when there is --rate, --burst or --phase: requests arrive whether or not earlier ones were answered, and
time counts from the moment that the schedule says. Use it to learn what users would see.
Closed loop, without: each client asks again when it has its answer. Use it to learn what the target can do at most.

Examples, with FILES for --cert client.crt --key client.key --ca ca.crt:
  500 requests a second for a minute, after 5 s that do not count; three reports beside each other
    python -m loadtest.generate --connect 127.0.0.1:9100 FILES --rate 500 --duration 60s --warmup 5s --report run
  a ramp, then a steady stretch, with 200 more at once each 10 s; independent users come at random moments
    python -m loadtest.generate ... --phase 100..2000/30s --phase 2000/60s --poisson
    python -m loadtest.generate ... --rate 500 --burst 200/10s --duration 60s
  64 clients that do nothing but ask, a mix by weight, two processes
    python -m loadtest.generate ... --connections 64 --mix ECHO=8,RAND=1,'HMAC;RG3;BO00FF=1' --processes 2
  a run that a script can judge, from a file (see loadtest/README.md)
    python -m loadtest.generate scenario.yaml --require 'p99<20ms' --require 'errors<0.1%'

Exit code: 0 fine; 1 a --require is not met, an answer was wrong, nothing was answered, or the generator itself was
the bottleneck; 2 wrong usage; 3 no connection could be made.
"""
_DURATION: Final = "DURATION"


@click.command(
    cls=SectionedCommand,
    sections=_SECTIONS,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.argument("scenario", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--connect", multiple=True, metavar="HOST:PORT", help="The target; connections take several in turns.")
@click.option("--cert", metavar="FILE", help="Our certificate, PEM.")
@click.option("--key", metavar="FILE", help="Its key; by default in the certificate's file.")
@click.option("--key-password-file", metavar="FILE", help="The key's password, on one line.")
@click.option("--ca", multiple=True, metavar="FILE", help="The CA of the target's certificate.")
@click.option("--tls", metavar="MODE", help="mutual, server or clear.  [mutual]")
@click.option("--name", metavar="NAME", help="In the target's certificate.  [the host connected to]")
@click.option("--no-name-check", is_flag=True, help="Any certificate of the CA will do.")
@click.option("--framing", metavar="KIND", help="excrypt, length2 or length4.  [excrypt]")
@click.option("--rate", metavar="N[..M]", help="Open loop: requests a second; from N to M over the whole time.")
@click.option("--burst", metavar="N[/EVERY]", help="Open loop: N at one moment, and again each EVERY.")
@click.option("--clients", metavar="N[..M]", help="Closed loop: connections that take part, from N to M.  [all]")
@click.option("--duration", metavar=_DURATION, help="How long.  [10s]")
@click.option("--warmup", metavar=_DURATION, help="Before that, the same without being measured.")
@click.option("--phase", multiple=True, metavar="RATE/DURATION",
              help="Open loop in several parts, each 500/30s or 100..2000/30s.")  # fmt: skip
@click.option("--poisson", is_flag=True, help="Requests arrive at random moments, not evenly.")
@click.option("--connections", metavar="N", help="Connections, over all processes.  [16]")
@click.option("--depth", metavar="N", help="Requests outstanding on one.  [16 in the open loop, 1 in the closed]")
@click.option("--processes", metavar="N", help="Of the generator; it says when it needs more.  [1]")
@click.option("--mix", metavar="CODE[;FIELDS][=WEIGHT],...", help="Commands by weight.  [ECHO]")
@click.option("--size", metavar="N[:M]", help="Fill requests up to N bytes, or to between N and M, with a BO field.")
@click.option("--echo", is_flag=True, help="Answers must be their requests, byte for byte (echo devices).")
@click.option("--login", metavar="USER", help="Log in on each connection (RKLG) before the first request.")
@click.option("--password-file", metavar="FILE", help="That user's password, on one line.")
@click.option("--users", metavar="FILE", help="Instead of --login: lines NAME:PASSWORD, taken in turns.")
@click.option("--seed", metavar="N", help="Of everything that is drawn by chance.  [1]")
@click.option("--timeout", metavar=_DURATION, help="Of a request.  [10s]")
@click.option("--connect-timeout", metavar=_DURATION, help="Of a connection.  [10s]")
@click.option("--late", metavar=_DURATION, help="A send so much after its moment is late.  [1ms]")
@click.option("--require", multiple=True, metavar="FIGURE<BOUND",
              help="Exit code 1 unless it holds: p99<20ms, errors<0.1%, rate>1000/s.")  # fmt: skip
@click.option("--report", "-o", multiple=True, metavar="PATH",
              help="Write NAME.json, NAME.txt or NAME.svg; NAME alone means all three.")  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
def main(scenario: Path | None, report: tuple[str, ...], quiet: bool, **options: Any) -> None:
    """Put load on a proxy or a device, and tell what its users would see.

    SCENARIO is a YAML file with the same things as the options, which go before it.
    """
    files = _report_files(report)
    try:
        asked = read(scenario, _nodes(options, alone=scenario is None))
        peers(asked)  # what cannot be used is found before anything is started
        login_messages(asked.login)
    except (ScenarioError, SetUpError) as exc:
        click.echo(str(exc), err=True)
        sys.exit(WRONG_USE)
    try:
        result, started = _run(asked, quiet)
    except UnreachableError as exc:
        click.echo(str(exc), err=True)
        sys.exit(UNREACHABLE)
    except FailedError as exc:
        click.echo(str(exc), err=True)
        sys.exit(NO)
    sys.exit(_tell(result, files, started, quiet))


def _nodes(options: Mapping[str, Any], *, alone: bool) -> dict[str, Node]:
    """The scenario's keys that the options give; ``alone``: there is no file. Raises ScenarioError."""
    text = {name: word(value) for name, value in options.items() if isinstance(value, str)}
    phases = phase_nodes(
        phases=options["phase"],
        rate=options["rate"],
        burst=options["burst"],
        clients=options["clients"],
        duration=options["duration"] or ("10s" if alone and not options["phase"] else None),
        warmup=options["warmup"],
    )
    nodes: dict[str, Node] = {}
    for name in ("framing", "connections", "depth", "processes", "seed", "timeout", "connect_timeout", "late"):
        if name in text:
            nodes[name] = text[name]
    if phases:
        nodes["phases"] = sequence(phases)
        opened = options["rate"] or options["burst"] or options["phase"]
        nodes["loop"] = word("open" if opened else "closed")
    if options["poisson"]:
        nodes["arrivals"] = word("poisson")
    if options["echo"]:
        nodes["echo"] = word("true")
    nodes |= nested(target=words(options["connect"]), require=words(options["require"]))
    tls = nested(
        mode=text.get("tls"),
        certificate=text.get("cert"),
        key=text.get("key"),
        key_password_file=text.get("key_password_file"),
        ca=words(options["ca"]),
        name=text.get("name"),
        verify=word("ca") if options["no_name_check"] else None,
    )
    login = nested(user=text.get("login"), password_file=text.get("password_file"), users_file=text.get("users"))
    nodes |= {name: section(entries) for name, entries in (("tls", tls), ("login", login)) if entries}
    if options["mix"] or options["size"]:
        nodes["mix"] = sequence(mix_nodes(options["mix"] or "ECHO", options["size"]))
    return nodes


def _report_files(names: tuple[str, ...]) -> list[Path]:
    found = []
    for name in names:
        path = Path(name)
        # A folder that is not there would be noticed only after the run.
        if not path.absolute().parent.is_dir():
            click.echo(f"--report: {path.parent} is no folder", err=True)
            sys.exit(WRONG_USE)
        found += [path] if path.suffix in _SUFFIXES else [Path(f"{name}{suffix}") for suffix in sorted(_SUFFIXES)]
    return found


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Signals that came; after the first, the run ends in order, after the second at once."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(scenario: Scenario, quiet: bool) -> tuple[Result, str]:
    """Raises UnreachableError, FailedError."""
    started = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    with tempfile.TemporaryDirectory() as folder, _interrupts() as came, Crew(scenario, Path(folder)) as crew:
        if not quiet:
            click.echo(f"connecting: {text_report.headline(scenario)}", err=True)
        crew.connect()
        with watching(quiet) as watch:
            crew.run(watch, lambda: bool(came))
        return crew.result, started


def _tell(result: Result, files: list[Path], started: str, quiet: bool) -> int:
    """Print and write the reports; gives the exit code."""
    verdict = judge_run(result)
    requirements = [parse_requirement(text) for text in result.scenario.require]
    machine = _machine()
    text = text_report.render(result, verdict, requirements, machine, started=started)
    click.echo(text, nl=False)
    for file in files:
        if file.suffix == ".txt":
            content = text
        elif file.suffix == ".json":
            content = json_report.render(result, verdict, requirements, machine, started=started)
        else:
            content = chart.render(result, verdict, machine, started=started)
        try:
            file.write_text(content, encoding="utf-8")
        except OSError as exc:
            click.echo(f"{file} cannot be written: {(exc.strerror or str(exc)).lower()}", err=True)
            return NO
        if not quiet:
            click.echo(f"wrote {file}", err=True)
    return exit_code(result, verdict, requirements)


def exit_code(result: Result, verdict: Verdict, requirements: Sequence[Requirement]) -> int:
    """Of a run that took place."""
    good = result.answered and not result.wrong and not verdict.bottleneck
    return 0 if good and all(each.met(result) for each in requirements) else NO


def _machine() -> Mapping[str, str | int]:
    try:
        guardian: Path | None = find_guardian()
    except NotInstalledError:
        guardian = None
    return describe_machine(haproxy=None, guardian=guardian)
