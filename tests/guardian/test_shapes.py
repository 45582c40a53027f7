from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.shapes import FIELDS, OTHER_TAG, fields, is_letter, shape


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", "empty"),
        (b"Y", "letter"),
        (b"y", "text 1"),
        (b"7", "decimal 1"),
        (b"12", "decimal 2-8"),
        (b"12345678", "decimal 2-8"),
        (b"123456789", "decimal 9-16"),
        (b"0A", "hex 2-8"),
        (b"0a", "text 2-8"),
        (b"F" * 17, "hex 17-32"),
        (b"AB" * 32, "hex 33-64"),
        (b"AB" * 33, "hex 65-256"),
        (b"AB" * 2048, "hex 257-4096"),
        (b"AB" * 2049, "hex over 4096"),
        (b"AB" * 2048 + b"x", "hex over 4096"),  # decided by its beginning
        (b"pass word", "text 9-16"),
        (b"\xff\x00", "text 2-8"),
        (b"12\n", "text 2-8"),
    ],
)
def test_shapes(value: bytes, expected: str) -> None:
    assert shape(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(b"Y", True), (b"y", False), (b"", False), (b"YY", False), (b"[", False)]
)
def test_a_letter_is_one_upper_case_letter(value: bytes, expected: bool) -> None:
    assert is_letter(value) is expected


@given(st.binary())
def test_a_shape_never_holds_the_value(value: bytes) -> None:
    marked = b"canary" + value
    assert "canary" not in shape(marked)
    assert len(shape(marked)) < 20


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"[AOECHO]", []),
        (b"[AOECHO;]", []),
        (b"[AOECHO;AGx;]", [(b"AG", b"x")]),
        (b"[AOECHO;AGx]", [(b"AG", b"x")]),
        (b"[AOECHO;FT;AG;]", [(b"FT", b""), (b"AG", b"")]),
        (b"[AOECHO;xyz;A;\xff\xffq;]", [(OTHER_TAG, b"z"), (OTHER_TAG, b""), (OTHER_TAG, b"q")]),
        (b"[AOECHO;AGx;AGy;]", [(b"AG", b"x"), (b"AG", b"y")]),
        (b"", []),
    ],
)
def test_fields(message: bytes, expected: list[tuple[bytes, bytes]]) -> None:
    assert list(fields(message)) == expected


def test_only_so_many_fields_are_looked_at() -> None:
    assert len(list(fields(b"[AOECHO;" + b"AAx;" * 10_000 + b"]"))) == FIELDS
