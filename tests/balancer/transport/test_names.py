"""Which certificate names stand for which expected name: one table."""

from __future__ import annotations

import pytest

from balancer.transport.names import matches_name


@pytest.mark.parametrize(
    ("expected", "dns_name", "verdict"),
    [
        ("hsm1.example.com", "hsm1.example.com", True),
        ("HSM1.example.COM", "hsm1.Example.com", True),
        ("hsm1.example.com.", "hsm1.example.com", True),
        ("hsm1.example.com", "hsm1.example.com.", True),
        ("hsm1", "hsm1", True),
        ("hsm1.example.com", "hsm2.example.com", False),
        ("hsm1.example.com", "example.com", False),
        ("example.com", "hsm1.example.com", False),
        ("hsm1.example.com", "*.example.com", True),
        ("_a-b.example.com", "*.example.com", True),
        ("a.hsm1.example.com", "*.example.com", False),
        ("example.com", "*.example.com", False),
        (".example.com", "*.example.com", False),
        ("hsm1.example.com", "*.*.com", False),
        ("hsm1.example.com", "hsm1.*.com", False),
        ("hsm1.example.com", "h*.example.com", False),
        ("hsm1.example.com", "*1.example.com", False),
        ("hsm1.example.com", "**.example.com", False),
        ("hsm1.com", "*.com", False),
        ("hsm1", "*", False),
        ("hsm1", "*.", False),
        ("*.example.com", "*.example.com", False),
        ("hsm1.example.com", "hsm1.example.com\0.evil.org", False),
        ("hsm 1.example.com", "*.example.com", False),
        ("a\0b.example.com", "*.example.com", False),
        ("hsm\u0131.example.com", "hsm\u0131.example.com", False),
        ("HSM\u212a.example.com", "hsmk.example.com", False),
        ("", "", False),
        ("10.0.0.1", "10.0.0.1", False),
        ("10.0.0.1", "*.0.0.1", False),
    ],
)
def test_dns_names(expected: str, dns_name: str, verdict: bool) -> None:
    found = matches_name(expected, has_san=True, dns_names=[dns_name], addresses=[], common_name=expected)
    assert found is verdict


@pytest.mark.parametrize(
    ("expected", "address", "verdict"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("2001:DB8::1", "2001:db8::1", True),
        ("::ffff:10.0.0.1", "10.0.0.1", False),
    ],
)
def test_addresses(expected: str, address: str, verdict: bool) -> None:
    """A DNS name that spells an address is none."""
    found = matches_name(expected, has_san=True, dns_names=[expected], addresses=[address], common_name=expected)
    assert found is verdict


@pytest.mark.parametrize(
    ("expected", "common_name", "verdict"),
    [
        ("Production", "Production", True),
        ("production", "Production", True),
        ("HSM 7", "HSM 7", True),
        ("Production", "Production2", False),
        ("Production", None, False),
        ("hsm1.example.com", "*.example.com", True),
        ("10.0.8.30", "10.0.8.30", True),
        ("10.0.8.30", "10.0.8.31", False),
        ("10.0.8.30", "*.0.8.30", False),
    ],
)
def test_common_name_without_san(expected: str, common_name: str | None, verdict: bool) -> None:
    found = matches_name(expected, has_san=False, dns_names=[], addresses=[], common_name=common_name)
    assert found is verdict


def test_common_name_counts_for_nothing_beside_a_san() -> None:
    """Also where the SAN holds nothing of use."""
    assert not matches_name("hsm1", has_san=True, dns_names=[], addresses=[], common_name="hsm1")
