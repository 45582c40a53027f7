"""Hand-made messages that must never reach a device."""

from __future__ import annotations

from pathlib import Path

import attrs

_FOLDER = Path(__file__).parent.parent / "vectors"


@attrs.frozen
class Refused:
    number: bytes  # AM of the proxy's answer
    message: bytes

    @property
    def malformed(self) -> bool:
        return self.number == b"906"


def refused(name: str = "refused") -> list[Refused]:
    """What a file of `tests/vectors` says."""
    lines = (_FOLDER / f"{name}.txt").read_text(encoding="ascii").splitlines()
    found = []
    for line in lines:
        if line and not line.startswith("#"):
            number, _, text = line.partition(" ")
            found.append(Refused(number.encode(), text.encode().decode("unicode_escape").encode("latin-1")))
    return found
