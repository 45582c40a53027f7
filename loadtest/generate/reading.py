"""A scenario from a YAML file, from options, or from both: options go before the file's keys.

Both are read by the configuration's own reader, so that a mistake is named the same way, with its line or its option.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from config import yaml_source
from config.model import TlsMode
from config.problems import Place, Report, join
from config.structure import Draft, Reader
from config.yaml_source import Entry, Node

from .nodes import OPTION_LINE, ScenarioError
from .options import option_of
from .requirement import parse_requirement
from .scenario import Scenario

_TAG_AND_FRAME: Final = 26  # bytes of the shortest request that is filled up


def read(file: Path | None, options: Mapping[str, Node]) -> Scenario:
    """Raises ScenarioError."""
    report = Report(str(file))
    root = yaml_source.Mapping({}, OPTION_LINE)
    if file is not None:
        text = yaml_source.read_file(file, report)
        parsed = yaml_source.parse(text, report) if text is not None else None
        if parsed is None:
            raise _error(report)
        root = parsed
    root = _with_options(root, options)
    folder = Path.cwd() if file is None else file.absolute().parent
    draft = Reader(report, folder, os.environ).section(Scenario, root, Place("", 1 if file else OPTION_LINE))
    _check(draft, report)
    if any(problem.severity == "error" for problem in report.problems()):
        raise _error(report)
    scenario: Scenario = draft.build()
    return scenario


def _with_options(root: yaml_source.Mapping, options: Mapping[str, Node]) -> yaml_source.Mapping:
    entries = dict(root.entries)
    for key, node in options.items():
        before = entries.get(key)
        if (
            isinstance(node, yaml_source.Mapping)
            and before is not None
            and isinstance(before.node, yaml_source.Mapping)
        ):
            merged = {**before.node.entries, **node.entries}
            entries[key] = Entry(before.line, attrs.evolve(before.node, entries=merged))
        else:
            entries[key] = Entry(OPTION_LINE, node)
    return attrs.evolve(root, entries=entries)


def _error(report: Report) -> ScenarioError:
    lines = [
        f"{option_of(problem.path)}: {problem.message}" if problem.line == OPTION_LINE else str(problem)
        for problem in report.problems()
    ]
    return ScenarioError("\n".join(lines))


def _check(scenario: Draft, report: Report) -> None:
    """What more than one key decides."""
    for field, word_for in (("target", "host:port"), ("phases", "phase"), ("mix", "command")):
        if scenario.known(field) and not scenario.values[field] and field not in scenario.partial:
            report.error(scenario.at(field), f"is empty, must have at least one {word_for}")
    if scenario.known("loop"):
        for phase in scenario.sections("phases"):
            _check_phase(phase, scenario.values["loop"], scenario, report)
    for command in scenario.sections("mix"):
        if isinstance(command, Draft):
            _check_size(command, report)
    if isinstance(tls := scenario.values.get("tls"), Draft):
        _check_tls(tls, report)
    if isinstance(login := scenario.values.get("login"), Draft) and login.known("user", "users_file"):
        _check_login(login, report)
    if scenario.known("connections", "processes") and scenario.values["processes"] > scenario.values["connections"]:
        report.error(scenario.at("processes"), "is more than there are connections, must be at most one for each")
    for number, text in enumerate(scenario.values.get("require", ())):
        try:
            parse_requirement(text)
        except ValueError as exc:
            place = scenario.items["require"][number] if "require" in scenario.items else scenario.at("require")
            report.error(place, f"is {yaml_source.shown(text)}: {exc}")


def _check_phase(phase: Draft, loop: str, scenario: Draft, report: Report) -> None:
    opened, closed = ("rate", "to_rate", "burst", "every"), ("clients", "to_clients")
    for field in closed if loop == "open" else opened:
        if phase.given(field):
            other = "closed" if loop == "open" else "open"
            report.error(phase.at(field), f"belongs to a closed or open loop of its own kind: set loop: {other}")
    if loop == "open" and phase.known("rate", "burst") and phase.values["rate"] is phase.values["burst"] is None:
        report.error(phase.place, "has neither rate nor burst, must say how many requests arrive")
    if phase.given("to_rate") and not phase.given("rate"):
        report.error(phase.at("to_rate"), "needs rate, where the ramp begins")
    if phase.given("every") and not phase.given("burst"):
        report.error(phase.at("every"), "needs burst, which it repeats")
    for field in closed:
        if not (phase.known(field) and scenario.known("connections")):
            continue
        taking_part, connections = phase.values[field], scenario.values["connections"]
        if taking_part is not None and taking_part > connections:
            report.error(phase.at(field), f"is {taking_part}, must be at most as many as connections ({connections})")


def _check_size(command: Draft, report: Report) -> None:
    if not command.known("size", "size_to", "fields"):
        return
    size, to, least = command.values["size"], command.values["size_to"], _TAG_AND_FRAME + len(command.values["fields"])
    if size is not None and size < least:
        report.error(command.at("size"), f"is {size}, must be at least {least} bytes for this request")
    if to is not None and (size is None or to < size):
        report.error(command.at("size_to"), "must be at least size")


def _check_tls(tls: Draft, report: Report) -> None:
    if not tls.known("mode", "ca", "certificate"):
        return
    mode = tls.values["mode"]
    if mode is not TlsMode.CLEAR and not tls.values["ca"] and "ca" not in tls.partial:
        report.error(tls.at("ca"), "is missing, must name the CA of the peer's certificate (or set mode: clear)")
    if mode is TlsMode.MUTUAL and tls.values["certificate"] is None:
        report.error(tls.at("certificate"), "is missing, must be our certificate (or set mode: server)")


def _check_login(login: Draft, report: Report) -> None:
    if (login.values["user"] is None) is (login.values["users_file"] is None):
        report.error(login.place, f"needs either {join('login', 'user')} or {join('login', 'users_file')}")
