"""Renders snapshots in a process of its own, which the proxy starts."""

from __future__ import annotations

from typing import Final

import attrs
import msgspec

from guardian.answering import answer
from guardian.packing import encode, unpacked_snapshot

from .process import OwnFigure
from .rendering import Text, compressed

MODULE: Final = "guardian.metrics.apart"


@attrs.frozen(kw_only=True)
class Question:
    version: str
    accept: str
    snapshot: bytes  # as `packed_snapshot` makes it
    own: tuple[OwnFigure, ...]  # of the process that asks


read_text = msgspec.msgpack.Decoder(Text).decode
_read_question = msgspec.msgpack.Decoder(Question).decode


def rendered(question: bytes) -> bytes:
    asked = _read_question(question)
    return encode(compressed(unpacked_snapshot(asked.snapshot), asked.version, asked.accept, asked.own))


def main() -> None:
    answer(rendered)
