"""Whether the commands that a group calls logins can be treated as such."""

from __future__ import annotations

from .catalogue import Catalogue, Effect
from .problems import Place, Report
from .structure import Draft


def check(sessions: Draft, catalogue: Catalogue, report: Report) -> None:
    """A command that logs in or out must be one that never travels on a shared connection."""
    named: list[tuple[str, Place]] = []
    for rule in sessions.values.get("login", ()):
        if not isinstance(rule, Draft):  # the default
            named.append((rule.command, sessions.at("login")))
        elif rule.known("command"):
            named.append((rule.values["command"], rule.at("command")))
    if sessions.known("logout"):
        places = sessions.items.get("logout", ())
        named.extend(zip(sessions.values["logout"], places, strict=False))
    for code, place in named:
        command = catalogue.get(code)
        if command is not None and command.effect is not Effect.SESSION:
            report.error(
                place,
                f"is {code}, which the catalogue knows as {command.effect.value}: it would travel on connections that "
                "others use; give it effect session in a file under catalogue",
            )
