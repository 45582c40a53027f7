"""What devices of one group answer differently, though they should be alike. Pure: answers in, differences out.

Of an answer nothing is kept but digests of its values, so that what is compared can be logged and shown. They are
salted, because many values are short enough to be guessed from a digest of theirs alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import attrs

from config.model import Probe, SerialPin

ABSENT: Final = "absent"
_ORDER: Final = "order"  # stands beside the tags of a whole body: the same fields in another order are another body
_SHOWN: Final = 8  # hexadecimal digits of a digest, for people
_SEPARATOR: Final = b";"  # cannot be in a value
_CODE: Final = slice(3, 7)

Sketch = Mapping[str, str]  # tag -> digest of its values, in hexadecimal


@attrs.frozen
class Difference:
    """One field that a device answered otherwise than its reference. Digests are short, or `ABSENT`."""

    code: str  # of the probe
    tag: str
    device: str
    reference: str
    key_table: bool

    @property
    def field(self) -> str:
        return f"{self.code}.{self.tag}"

    def __str__(self) -> str:
        return f"{self.field}: {self.device}, not {self.reference}"


@attrs.frozen
class Portrait:
    """What a device answered to the probes of its group.

    ``writes``: how many writes the group had done by then; key tables of two portraits can be compared only where no
    write came between. ``wrong_serial``: set where the serial number is not the pinned one.
    """

    shown: Mapping[Probe, Sketch]
    writes: int
    wrong_serial: Difference | None = None

    @property
    def key_tables(self) -> Mapping[Probe, Sketch]:
        """What of it shows the key table."""
        return {probe: shown for probe, shown in self.shown.items() if probe.shows_key_table}


@attrs.frozen
class Comparison:
    """What came of comparing a device with its reference."""

    differences: tuple[Difference, ...]
    complete: bool  # everything was compared: without differences the device is alike
    same_key_table: bool  # key tables were compared and are equal


def sketch(answer: bytes, probe: Probe, salt: bytes) -> Sketch:
    """What is compared of one answer to that probe: every field but the echo ``AG``, or the tags it names."""
    values: dict[str, list[bytes]] = {}
    order = []
    for part in answer.strip(b"[]").split(_SEPARATOR)[1:]:
        tag = part[:2].decode() if part[:2].isalnum() and part.isascii() else part[:2].hex()  # it will be shown
        if tag and tag != "AG":
            values.setdefault(tag, []).append(part[2:])
            order.append(tag)
    if probe.compare != "body":
        return {tag: _digest(values[tag], salt) for tag in probe.compare if tag in values}
    found = {tag: _digest(each, salt) for tag, each in values.items()}
    return {**found, _ORDER: _digest([tag.encode() for tag in order], salt)}


def wrong_serial(answer: bytes, pin: SerialPin, serial: str, salt: bytes) -> Difference | None:
    """The difference between the serial number that an answer shows and the pinned one; None where it is that one."""
    pinned = _digest([serial.encode()], salt)
    code = pin.request[_CODE]
    found = sketch(answer, Probe(request=pin.request, compare=(pin.serial,)), salt).get(pin.serial)
    if found == pinned:
        return None
    return Difference(code, pin.serial, _short(found), _short(pinned), key_table=False)


def compare(device: Portrait, reference: Portrait) -> Comparison:
    """Probe by probe and tag by tag; only what both were asked.

    Key tables are left out where writes came between the two portraits.
    """
    together = device.writes == reference.writes
    found: list[Difference] = []
    for probe, ours in device.shown.items():
        theirs = reference.shown.get(probe)
        if theirs is not None and (together or not probe.shows_key_table):
            found += _differences(probe, ours, theirs)
    if device.wrong_serial is not None:
        found.append(device.wrong_serial)
    return Comparison(
        differences=tuple(found),
        complete=(together or not device.key_tables) and device.shown.keys() <= reference.shown.keys(),
        same_key_table=together and bool(device.key_tables) and device.key_tables == reference.key_tables,
    )


def _differences(probe: Probe, ours: Sketch, theirs: Sketch) -> list[Difference]:
    tags = dict.fromkeys((*theirs, *ours))
    unequal = [tag for tag in tags if ours.get(tag) != theirs.get(tag)]
    if len(unequal) > 1:  # where a field differs, it goes without saying that the order may too
        unequal = [tag for tag in unequal if tag != _ORDER]
    code = probe.request[_CODE]
    return [
        Difference(code, tag, _short(ours.get(tag)), _short(theirs.get(tag)), key_table=probe.shows_key_table)
        for tag in unequal
    ]


def _digest(values: list[bytes], salt: bytes) -> str:
    return hashlib.sha256(salt + _SEPARATOR.join(values)).hexdigest()


def _short(digest: str | None) -> str:
    return ABSENT if digest is None else digest[:_SHOWN]
