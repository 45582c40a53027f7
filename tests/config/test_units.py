from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.model import Bind
from config.units import format_duration, format_rate, parse_bind, parse_duration, parse_rate, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("1ms", 0.001),
        ("2s", 2.0),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("0s", 0.0),
        ("15 s", 15.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "1.5", "-2s", "+2s", "2 sec", "1h30m", "s", "٣s", "1e3s", "9" * 400 + "s", "2S"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_a_bare_number_is_told_that_it_needs_a_unit() -> None:
    with pytest.raises(ValueError, match="needs its unit"):
        parse_duration("10")


@pytest.mark.parametrize(
    ("text", "rate"), [("2000/s", 2000.0), ("600/m", 10.0), ("3600/h", 1.0), ("0.5/s", 0.5), ("20 / s", 20.0)]
)
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == rate
    assert parse_rate(format_rate(rate)) == rate


@pytest.mark.parametrize(
    "text", ["", "2000", "2000/", "/s", "-1/s", "2k/s", "2000/ms", "2000/sec", "1e3/s", "9" * 30 + "/s"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a rate"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512B", 512), ("256KiB", 262144), ("1MiB", 1048576), ("2GiB", 2**31), ("4096", 4096), ("1 KiB", 1024)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "256KB", "256k", "1.5MiB", "-1", "1TiB", "KiB", "9" * 30])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "host", "port", "back"),
    [
        ("10.0.8.30:9100", "10.0.8.30", 9100, "10.0.8.30:9100"),
        ("[fd00:0:0::1]:9100", "fd00::1", 9100, "[fd00::1]:9100"),
        ("[::]:0", "::", 0, "[::]:0"),
        ("HSM1.Example:9100", "hsm1.example", 9100, "hsm1.example:9100"),
        ("localhost:65535", "localhost", 65535, "localhost:65535"),
    ],
)
def test_addresses(text: str, host: str, port: int, back: str) -> None:
    bind = parse_bind(text)
    assert bind == Bind(host=host, port=port)
    assert str(bind) == back


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("9100", "host:port"),
        (":9100", "host:port"),
        ("hsm1", "host:port"),
        ("hsm1:", "port"),
        ("hsm1:65536", "65535"),
        ("hsm1:-1", "65535"),
        ("hsm1:https", "65535"),
        ("fd00::1:9100", "brackets"),
        ("[fd00:9100", "host:port"),
        ("[hsm1]:9100", "IPv6"),
        ("300.0.0.1:9100", "IPv4"),
        ("1.2.3:9100", "IPv4"),
        ("-hsm:9100", "host:port"),
        ("hs m:9100", "host:port"),
        ("a" * 64 + ":9100", "host:port"),
    ],
)
def test_what_is_no_address_is_refused(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse_bind(text)


@given(st.text(max_size=40), st.sampled_from([parse_duration, parse_rate, parse_size, parse_bind]))
def test_any_text_is_read_or_refused_without_being_repeated(text: str, parse: Callable[[str], object]) -> None:
    message = ""
    try:
        parse(text)
    except ValueError as exc:
        message = str(exc)
    assert len(text) < 12 or text not in message


@given(st.integers(min_value=1, max_value=10**9))
def test_a_written_duration_is_read_back(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    text = format_duration(seconds)
    if "e" not in text:  # %g rounds to six digits
        assert parse_duration(text) == pytest.approx(seconds, rel=1e-5)
