"""The command's options as the nodes of a scenario, so that one reader checks them and a file alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from config.yaml_source import Node

from .nodes import ScenarioError, section, sequence, word

_PHASE: Final = re.compile(r"(?P<load>[^/]+(?:/[smh])?)/(?P<duration>[0-9.]+(?:ms|s|m|h))", re.ASCII)
_UNIT: Final = re.compile(r".*/[smh]", re.ASCII)


def mix_nodes(text: str, size: str | None) -> list[Node]:
    """``ECHO=8,RAND,HMAC;RG3=2``: commands with fields and weights; ``size``: ``64`` or ``64:300`` for all."""
    found: list[Node] = []
    for part in text.split(","):
        head, equals, weight = part.rpartition("=")
        if not equals:
            head, weight = part, ""
        command, _, fields = head.strip().partition(";")
        entries: dict[str, Node] = {"command": word(command)}
        if fields:
            entries["fields"] = word(fields)
        if weight:
            entries["weight"] = word(weight)
        if size is not None:
            least, colon, most = size.partition(":")
            entries |= {"size": word(least), **({"size_to": word(most)} if colon else {})}
        found.append(section(entries))
    return found


def rate_word(text: str) -> Node:
    """``500``, ``500/s``, ``30000/m``."""
    return word(text if _UNIT.fullmatch(text) else f"{text}/s")


def rate_entries(text: str) -> dict[str, Node]:
    """``500`` or the ramp ``100..2000``."""
    first, dots, last = text.partition("..")
    return {"rate": rate_word(first), **({"to_rate": rate_word(last)} if dots else {})}


def client_entries(text: str) -> dict[str, Node]:
    """``8`` or the ramp ``1..64``."""
    first, dots, last = text.partition("..")
    return {"clients": word(first), **({"to_clients": word(last)} if dots else {})}


def burst_entries(text: str) -> dict[str, Node]:
    """``200`` at once, or ``200/10s``: again every 10 s."""
    size, slash, every = text.partition("/")
    return {"burst": word(size), **({"every": word(every)} if slash else {})}


def phase_nodes(
    *,
    phases: Sequence[str],
    rate: str | None,
    burst: str | None,
    clients: str | None,
    duration: str | None,
    warmup: str | None,
) -> list[Node]:
    """The phases that the options mean; none where they say nothing of it. Raises ScenarioError.

    Without a rate or a burst it is a closed loop. ``phases`` are ``LOAD/DURATION``.
    """
    opened = rate is not None or burst is not None
    if phases:
        if rate or burst or clients or duration:
            raise ScenarioError("--phase stands instead of --rate, --burst, --clients and --duration: use one way")
        found = [_phase(text) for text in phases]
    elif opened or clients or duration:
        entries: dict[str, Node] = {"duration": word(duration or "10s")}
        entries |= rate_entries(rate) if rate is not None else {}
        entries |= burst_entries(burst) if burst is not None else {}
        entries |= client_entries(clients) if clients is not None else {}
        found = [entries]
    else:
        return []
    if warmup is not None:
        first = {key: node for key, node in found[0].items() if key in ("rate", "clients")}
        found.insert(0, {"duration": word(warmup), "measured": word("false"), **first})
    return [section(entries) for entries in found]


def _phase(text: str) -> dict[str, Node]:
    found = _PHASE.fullmatch(text)
    if found is None:
        raise ScenarioError(f"--phase: {text!r} must be RATE/DURATION or FROM..TO/DURATION, such as 100..2000/30s")
    return {"duration": word(found["duration"]), **rate_entries(found["load"])}


def nested(**entries: Node | None) -> Mapping[str, Node]:
    """Those that are given."""
    return {key: node for key, node in entries.items() if node is not None}


def words(texts: Sequence[str]) -> Node | None:
    return sequence(word(text) for text in texts) if texts else None


_OPTIONS: Final = {
    "target": "--connect",
    "tls": "--tls",
    "tls.mode": "--tls",
    "tls.certificate": "--cert",
    "login.users_file": "--users",
    "login.user": "--login",
    "arrivals": "--poisson",
}


def option_of(path: str) -> str:
    """The option that gives a key, for whoever wrote no file."""
    section_name = re.split(r"[\[.]", path)[0]
    if section_name == "mix":
        return "--size" if path.endswith((".size", ".size_to")) else "--mix"
    if section_name == "phases":
        key = path.rpartition(".")[2]
        return {"burst": "--burst", "every": "--burst", "duration": "--duration", "clients": "--clients"}.get(
            key.removeprefix("to_"), "--rate"
        )
    known = _OPTIONS.get(path) or _OPTIONS.get(re.sub(r"\[\d+\]", "", path))
    return known or "--" + re.sub(r"\[\d+\]", "", path).rpartition(".")[2].replace("_", "-")
