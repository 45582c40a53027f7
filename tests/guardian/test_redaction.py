from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.redaction import LONGEST, WITHHELD, safe, safe_exception, safe_field, safe_stack
from health.state import Health

CANARY = "S3cr3tCanary"


@attrs.frozen
class Exchange:
    request: str = CANARY


@pytest.mark.parametrize(
    "key",
    ["password", "key_password", "Token", "api_key", "clientPin", "pin", "request", "last_answer", "body", "BODY"],
)
@pytest.mark.parametrize("value", [CANARY, CANARY.encode(), 1234, [CANARY], {"a": CANARY}])
def test_values_under_telling_keys_are_withheld(key: str, value: object) -> None:
    assert safe_field(key, value) == WITHHELD


@pytest.mark.parametrize("key", ["key_file", "requests", "answers", "pinned", "device", "token_ok", "monkey"])
def test_other_keys_stay(key: str) -> None:
    assert safe_field(key, "x") == "x"


@pytest.mark.parametrize(
    "value",
    [
        f"device said [AOGPKD;BG{CANARY};] and went",
        f"cut off: [AOGPKD;BG{CANARY}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
        CANARY.encode(),
        memoryview(CANARY.encode()),
        Exchange(),
        {"inner": {"password": CANARY}},
        [{"pin": CANARY}],
        ValueError(f"bad message [AOECHO;AG{CANARY};]"),
        ExceptionGroup("two", [ValueError(f"[AOECHO;AG{CANARY};]")]),
        ["[AOECHO;AG" + "x" * 5000 + CANARY],
    ],
)
def test_values_that_look_like_secrets_are_withheld_under_any_key(value: object) -> None:
    assert CANARY not in json.dumps(safe_field("detail", value))


def test_harmless_values_stay_readable() -> None:
    assert safe(Health.UP) == "up"
    assert safe(Path("/a/b")) == "/a/b"
    assert safe((1, 2.5, None, True)) == [1, 2.5, None, True]
    assert safe(OSError(24, "Too many open files")) == "OSError: [Errno 24] Too many open files"
    assert safe(float("nan")) == "nan"
    assert safe_field("request", None) is None


def test_sizes_are_bounded() -> None:
    assert len(str(safe("x" * 100_000))) == LONGEST + 1
    assert len(json.dumps(safe([["x" * 1000] * 1000] * 1000))) < 1_000_000
    deep: list[object] = []
    for _ in range(1000):
        deep = [deep]
    assert len(json.dumps(safe(deep))) < 100


def test_an_exception_shows_places_and_no_lines_of_code() -> None:
    with pytest.raises(ValueError, match="canary") as raised:
        raise ValueError("no canary")
    assert safe_exception(raised.value) == "ValueError: no canary"
    (place,) = safe_stack(raised.value)
    assert place.startswith("guardian/test_redaction.py:")
    assert "raise" not in place


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(object)
_values = st.recursive(_scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner))


@given(st.text(), _values)
def test_whatever_comes_can_be_written_as_json(key: str, value: object) -> None:
    json.dumps(safe_field(key, value), allow_nan=False).encode("ascii")
