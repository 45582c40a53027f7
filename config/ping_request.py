"""Whether a request of our own (a ping, a probe) is one that may be sent every few seconds for ever."""

from __future__ import annotations

import re
from typing import Final

from .catalogue import Catalogue
from .problems import Report
from .structure import Draft

# AO first, four upper-case letters or digits, two-character tags, printable ASCII without ; [ ], a last ; optional.
_MESSAGE: Final = re.compile(r"\[AO([A-Z0-9]{4})((?:;[A-Z0-9]{2}[ -:<-Z\\^-~]*)*);?\]", re.ASCII)


def check(section: Draft, catalogue: Catalogue, report: Report) -> None:
    """The ``request`` is one message of the protocol, and its command changes nothing on a device."""
    place = section.at("request")
    found = _MESSAGE.fullmatch(section.values["request"])
    if found is None:
        report.error(place, "is no Excrypt message, must be one such as [AOECHO;AGping;]")
        return
    tags = [field[:2] for field in found[2].split(";")[1:]]
    if "AO" in tags:
        report.error(place, "has two AO fields, must have one, the first")
    if tags.count("AG") > 1:
        report.error(place, "has two AG fields, must have one at most")
    command = catalogue.get(found[1])
    if command is None:
        report.warn(place, f"uses {found[1]}, which is in no catalogue: is it safe to send again and again?")
    elif not command.effect.repeatable:
        report.error(place, f"uses {found[1]} (effect {command.effect.value}), must be a command that changes nothing")
