"""Contexts and policies for clients, against real TLS peers over socket pairs and loopback."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from balancer.transport import tls as transport
from balancer.transport.groups import offered_groups
from balancer.transport.peers import PeerRefused
from balancer.transport.tls import device_side, server_side, verified_chain
from config.model import DeviceTls, ListenerTls, TlsMode
from tests.support.site import Site
from tests.support.tls import CLIENT, DAY, NOW, SERVER, Issued, authority, issue, shaken

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BOTH = pytest.mark.parametrize("version", [V12, V13])


@BOTH
@pytest.mark.parametrize("kind", ["p256", "rsa"])
@pytest.mark.parametrize("client_kind", ["p256", "p384", "rsa"])
def test_a_client_with_a_good_certificate_comes_in(
    site: Site, version: ssl.TLSVersion, kind: str, client_kind: str
) -> None:
    """Also one whose key is on another curve than ours: to pin one curve would have refused it in TLS 1.2."""
    side = site.server(kind=kind)
    with shaken(side.context, site.client(site.issue(kind=client_kind), version=version)) as ends:
        assert ends.complete
        assert ends.server.version() == version.name.replace("_", ".")
        peer = side.check(ends.server, time.time())
        assert peer is not None
        assert peer.common_name == "vault-1"
        assert peer.root is not None
        assert ends.server.compression() is None


@BOTH
def test_chain_over_an_intermediate_ca(site: Site, version: ssl.TLSVersion) -> None:
    middle = issue(site.root, "Middle", number=3, ca=True)
    side = site.server()
    with shaken(side.context, site.client(issue(middle, "vault-1", eku=[CLIENT]), version=version)) as ends:
        assert ends.complete
        assert [len(verified_chain(ends.server)), side.check(ends.server, time.time()) is not None] == [3, True]


@BOTH
def test_our_own_chain_is_sent(site: Site, version: ssl.TLSVersion) -> None:
    middle = issue(site.root, "Middle", number=3, ca=True)
    certificate, key = issue(middle, "guardian", eku=[SERVER]).write(site.folder, "chained")
    side = site.server(certificate=certificate, key=key)
    with shaken(side.context, site.client(site.issue(), version=version)) as ends:
        assert ends.complete


@BOTH
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_chain_that_nobody_gave_is_made_once_from_trusted_cas(
    site: Site, version: ssl.TLSVersion, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenSSL would in each handshake, which costs it a signature to verify for each certificate."""
    shown: list[str] = []
    load = ssl.SSLContext.load_cert_chain

    def noted(context: ssl.SSLContext, path: str, *more: Any, **others: Any) -> None:
        shown.append(Path(path).read_text())
        load(context, path, *more, **others)

    middle = issue(site.root, "Middle", number=3, ca=True)
    namesake = authority("Middle", number=9)
    me = issue(middle if depth == 2 else site.root, "guardian", eku=[SERVER])
    certificate, key = attrs.evolve(me, chain=()).write(site.folder, "made")
    trusted = {0: (site.folder / "other.crt",), 1: site.ca(), 2: site.ca(namesake, middle)}[depth]
    if depth == 0:
        trusted[0].write_bytes(namesake.certificate.public_bytes(Encoding.PEM))
    with monkeypatch.context() as patched:
        patched.setattr(ssl.SSLContext, "load_cert_chain", noted)
        side = server_side(ListenerTls(certificate=certificate, key=key, ca=trusted))
    assert side is not None
    assert [text.count("BEGIN CERTIFICATE") for text in shown] == [1 + depth]
    with shaken(side.context, site.client(site.issue() if depth else None, version=version)) as ends:
        assert len(sent_chain(ends.client)) == 1 + depth


@BOTH
@pytest.mark.parametrize("fault", ["expired", "early", "purpose", "ca", "none", "revoked", "old list", "self-signed"])
def test_a_bad_client_never_gets_past_the_handshake_and_hears_why(
    site: Site, version: ssl.TLSVersion, fault: str
) -> None:
    good = site.issue()
    bad: dict[str, tuple[Issued | None, dict[str, Any]]] = {
        "expired": (site.issue(end=NOW - DAY / 2), {}),
        "early": (site.issue(start=NOW + DAY), {}),
        "purpose": (site.issue(eku=[SERVER]), {}),
        "ca": (issue(authority("Other", number=5), "vault-1", eku=[CLIENT]), {}),
        "none": (None, {}),
        "revoked": (good, {"crl": site.crl(good)}),
        "old list": (good, {"crl": site.crl(end=NOW - DAY / 2)}),
        "self-signed": (issue(None, "vault-1", eku=[CLIENT]), {}),
    }
    me, settings = bad[fault]
    with shaken(site.server(**settings).context, site.client(me, version=version)) as ends:
        assert isinstance(ends.server_error, ssl.SSLError)
        # The alert was sent by a non-blocking socket's own do_handshake.
        assert isinstance(ends.client_error, ssl.SSLError)
        assert "ALERT" in (ends.client_error.reason or "")


def test_openssl_takes_a_client_without_purpose_and_we_do_not(site: Site) -> None:
    client = site.client(site.issue(eku=None))
    side = site.server()
    with shaken(side.context, client) as ends:
        assert ends.complete
        with pytest.raises(PeerRefused, match="has no extendedKeyUsage"):
            side.check(ends.server, time.time())
    lenient = site.server(client_auth="if_present")
    with shaken(lenient.context, client) as ends:
        assert lenient.check(ends.server, time.time()) is not None


def test_a_resumed_session_comes_in_though_its_certificate_has_ended_and_we_see_it(site: Site) -> None:
    side = site.server()
    client = site.client(site.issue(), version=V12)
    with shaken(side.context, client) as ends:
        first = side.check(ends.server, time.time())
        session = ends.client.session
    with shaken(side.context, client, session=session) as ends:
        assert ends.complete
        assert ends.server.session_reused, "without resumption this test would prove nothing"
        assert verified_chain(ends.server) == ()
        again = side.check(ends.server, time.time())
        assert first is not None
        assert again is not None
        assert again.root == first.root
        with pytest.raises(PeerRefused, match="the certificate ended"):
            side.check(ends.server, first.not_after)


def test_a_resumed_session_of_a_client_whose_list_ended_meanwhile(site: Site) -> None:
    side = site.server(crl=site.crl(end=NOW + DAY))
    client = site.client(site.issue(), version=V12)
    with shaken(side.context, client) as ends:
        session = ends.client.session
    with shaken(side.context, client, session=session) as ends:
        assert ends.server.session_reused
        with pytest.raises(PeerRefused, match="revocation list"):
            side.check(ends.server, time.time() + 2 * 86_400)


def test_a_new_context_forgets_sessions_and_knows_new_revocations(site: Site) -> None:
    me = site.issue()
    client = site.client(me, version=V12)
    before = site.server(crl=site.crl())
    with shaken(before.context, client) as ends:
        peer = before.check(ends.server, time.time())
        session = ends.client.session
    after = site.server(crl=site.crl(me))
    with shaken(after.context, client, session=session) as ends:
        assert not ends.complete
    assert peer is not None
    assert after.policy is not None
    with pytest.raises(PeerRefused, match="it is revoked"):
        after.policy.recheck(peer, time.time())
    # With the old context OpenSSL would let the revoked client in again: only the policy refuses it.
    with shaken(before.context, client, session=session) as ends:
        assert ends.server.session_reused
        with pytest.raises(PeerRefused, match="it is revoked"):
            after.policy.check(ends.server.getpeercert(binary_form=True), time.time())


def test_tls13_hands_out_no_tickets(site: Site) -> None:
    side = site.server()
    with shaken(side.context, site.client(site.issue(), version=V13)) as ends:
        assert ends.complete
        assert ends.client.session is None or not ends.client.session.has_ticket


def test_server_mode_asks_for_no_certificate(site: Site) -> None:
    side = site.server(mode=TlsMode.SERVER, ca=())
    assert side.policy is None
    with shaken(side.context, site.client()) as ends:
        assert ends.complete
        assert side.check(ends.server, time.time()) is None


def test_clear_has_no_context() -> None:
    assert server_side(ListenerTls(mode=TlsMode.CLEAR)) is None
    assert device_side(DeviceTls(mode=TlsMode.CLEAR), "hsm1") is None


@pytest.mark.parametrize(
    "suite",
    ["ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA", "AES128-GCM-SHA256", "AES256-SHA256", "DHE-RSA-AES128-SHA256"],
)
def test_suites_without_forward_secrecy_or_aead_are_refused(site: Site, suite: str) -> None:
    def only(context: ssl.SSLContext) -> None:
        context.set_ciphers(suite)

    with shaken(site.server(kind="rsa").context, site.client(site.issue(), version=V12, change=only)) as ends:
        assert not ends.complete


@pytest.mark.parametrize(
    ("kind", "suite"),
    [
        ("rsa", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("rsa", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("rsa", "ECDHE-RSA-CHACHA20-POLY1305"),
        ("rsa", "DHE-RSA-AES128-GCM-SHA256"),
        ("rsa", "DHE-RSA-AES256-GCM-SHA384"),
        ("p256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("p256", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ],
)
def test_suites_of_old_clients(site: Site, kind: str, suite: str) -> None:
    def only(context: ssl.SSLContext) -> None:
        context.set_ciphers(suite)

    with shaken(site.server(kind=kind).context, site.client(site.issue(), version=V12, change=only)) as ends:
        assert ends.complete
        chosen = ends.server.cipher()
        assert chosen is not None
        assert chosen[0] == suite


def test_min_version(site: Site) -> None:
    with shaken(site.server(min_version="1.3").context, site.client(site.issue(), version=V12)) as ends:
        assert not ends.complete


def test_costly_groups_cannot_be_demanded(site: Site) -> None:
    def only(context: ssl.SSLContext) -> None:
        context.set_ecdh_curve("ffdhe8192")

    with shaken(site.server().context, site.client(site.issue(), version=V13, change=only)) as ends:
        assert not ends.complete


def test_groups_are_limited_for_the_whole_process(site: Site) -> None:
    site.server()
    assert offered_groups(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) == [0x1D, 0x17, 0x18, 0x19]


def test_where_openssl_cannot_be_reached_one_curve_is_pinned(tmp_path: Path, site: Site) -> None:
    """In a process of its own, since the limit is the process's."""
    me = site.issue().write(tmp_path, "me")
    own = issue(site.root, "guardian", eku=[SERVER]).write(tmp_path, "guardian")
    program = f"""
import ctypes, ssl
from pathlib import Path
from balancer.transport import groups, tls
from config.model import ListenerTls
from tests.support.tls import shaken
def absent(): raise OSError("no such library")
groups._openssl = absent
side = tls.server_side(ListenerTls(certificate=Path({str(own[0])!r}), key=Path({str(own[1])!r}), ca={site.ca()!r}))
for group, verdict in (("prime256v1", True), ("ffdhe8192", False), ("ffdhe2048", False), (None, True)):
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.load_cert_chain({str(me[0])!r}, {str(me[1])!r})
    if group: client.set_ecdh_curve(group)
    with shaken(side.context, client) as ends:
        assert ends.complete is verdict, (group, ends)
""".replace("PosixPath", "Path")
    repository = Path(transport.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def sent_chain(sock: ssl.SSLSocket) -> tuple[Any, ...]:
    """What the other side showed."""
    if hasattr(sock, "get_unverified_chain"):  # from Python 3.13 on
        return tuple(sock.get_unverified_chain())
    return tuple(sock._sslobj.get_unverified_chain())  # type: ignore[union-attr]
