"""Contexts and policies against real TLS peers, over socket pairs and loopback."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from balancer.transport import tls as transport
from balancer.transport.groups import offered_groups
from balancer.transport.peers import PeerRefused
from balancer.transport.tls import DeviceSide, ServerSide, device_side, server_side, verified_chain
from config.credentials import CredentialError
from config.expiry import expiries
from config.model import AdminTls, DeviceTls, ListenerTls, TlsMode, Verify
from tests.support.tls import CLIENT, DAY, NOW, SERVER, Issued, authority, client_context, crl, issue, shaken

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BOTH = pytest.mark.parametrize("version", [V12, V13])


@attrs.frozen
class Site:
    """A CA, and a listener and clients under it."""

    folder: Path
    root: Issued

    def issue(self, name: str = "vault-1", **how: object) -> Issued:
        return issue(self.root, name, **{"eku": [CLIENT], **how})  # type: ignore[arg-type]

    def ca(self, *others: Issued) -> tuple[Path, ...]:
        path = self.folder / "ca.crt"
        path.write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in (self.root, *others)))
        return (path,)

    def crl(self, *revoked: Issued, **how: object) -> tuple[Path, ...]:
        path = self.folder / "ca.crl"
        path.write_bytes(crl(self.root, revoked, **how))  # type: ignore[arg-type]
        return (path,)

    def server(self, *, kind: str = "p256", **settings: object) -> ServerSide:
        certificate, key = issue(self.root, "guardian", kind=kind, eku=[SERVER]).write(self.folder, "guardian")
        side = server_side(ListenerTls(**{"certificate": certificate, "key": key, "ca": self.ca(), **settings}))  # type: ignore[arg-type]
        assert side is not None
        return side

    def client(
        self,
        me: Issued | None = None,
        *,
        version: ssl.TLSVersion | None = None,
        change: Callable[[ssl.SSLContext], None] | None = None,
    ) -> ssl.SSLContext:
        return client_context(self.folder, self.root, me, version=version, change=change)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, authority())


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


@pytest.fixture
def device(site: Site) -> Callable[..., tuple[ssl.SSLContext, DeviceSide]]:
    """An emulated device's context, and our side towards it."""

    def make(shown: Issued, host: str = "hsm1", **settings: object) -> tuple[ssl.SSLContext, DeviceSide]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*shown.write(site.folder, "device"))
        context.load_verify_locations(site.ca()[0])
        context.verify_mode = ssl.CERT_REQUIRED
        certificate, key = site.issue("guardian").write(site.folder, "guardian-client")
        side = device_side(
            DeviceTls(**{"certificate": certificate, "key": key, "ca": site.ca(), **settings}),  # type: ignore[arg-type]
            host,
        )
        assert side is not None
        return context, side

    return make


DeviceFactory = Callable[..., tuple[ssl.SSLContext, DeviceSide]]


@pytest.mark.parametrize("kind", ["p256", "rsa"])
def test_a_device_by_the_vendors_guide_is_accepted_by_its_common_name(
    site: Site, device: DeviceFactory, kind: str
) -> None:
    """Nothing but a Common Name: no SAN, no key usage, no key identifiers, which strict checking would refuse."""
    context, side = device(issue(site.root, "Production", kind=kind), name="Production")
    with shaken(context, side.context) as ends:
        assert ends.complete
        assert side.check(ends.client, time.time()).common_name == "Production"


def test_a_device_of_another_name_is_refused_by_us_alone(site: Site, device: DeviceFactory) -> None:
    context, side = device(issue(site.root, "x", eku=[SERVER], san=["hsm2"]), "hsm1")
    with shaken(context, side.context) as ends:
        assert ends.complete
        with pytest.raises(PeerRefused, match="not for 'hsm1' but for 'hsm2'"):
            side.check(ends.client, time.time())


@pytest.mark.parametrize("fault", ["expired", "purpose", "ca", "revoked"])
def test_a_bad_device_fails_in_the_handshake(site: Site, device: DeviceFactory, fault: str) -> None:
    good = issue(site.root, "hsm1")
    bad: dict[str, tuple[Issued, dict[str, Any]]] = {
        "expired": (issue(site.root, "hsm1", end=NOW - DAY / 2), {}),
        "purpose": (issue(site.root, "hsm1", eku=[CLIENT]), {}),
        "ca": (issue(authority("Other", number=5), "hsm1"), {}),
        "revoked": (good, {"crl": site.crl(good)}),
    }
    shown, settings = bad[fault]
    context, side = device(shown, **settings)
    with shaken(context, side.context) as ends:
        assert isinstance(ends.client_error, ssl.SSLCertVerificationError)


def test_a_pinned_device_needs_no_ca(site: Site, device: DeviceFactory) -> None:
    shown = issue(None, "self-made", kind="rsa")
    fingerprint = "sha256:" + shown.certificate.fingerprint(hashes.SHA256()).hex()
    context, side = device(shown, verify=Verify.FINGERPRINT, fingerprint=fingerprint, ca=())
    with shaken(context, side.context) as ends:
        assert ends.complete
        assert side.check(ends.client, time.time()).fingerprint == fingerprint
    context, side = device(issue(None, "self-made"), verify=Verify.FINGERPRINT, fingerprint=fingerprint, ca=())
    with shaken(context, side.context) as ends, pytest.raises(PeerRefused, match="not the expected one"):
        side.check(ends.client, time.time())


def test_server_only_tls_shows_the_device_no_certificate(site: Site, device: DeviceFactory) -> None:
    context, side = device(issue(site.root, "hsm1"), mode=TlsMode.SERVER)
    context.verify_mode = ssl.CERT_OPTIONAL
    with shaken(context, side.context) as ends:
        assert ends.complete
        assert ends.server.getpeercert(binary_form=True) is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ca": ()}, "needs a 'ca:'"),
        ({"certificate": None}, "needs a 'certificate:'"),
        ({"verify": Verify.FINGERPRINT}, "needs its 'fingerprint:'"),
        ({"verify": Verify.FINGERPRINT, "fingerprint": "sha256:12"}, "64 hexadecimal digits"),
    ],
)
def test_what_a_device_needs(site: Site, device: DeviceFactory, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(CredentialError, match=told):
        device(issue(site.root, "hsm1"), **settings)


def test_what_a_listener_needs(site: Site) -> None:
    for settings, told in (({"ca": ()}, "needs a 'ca:'"), ({"certificate": None}, "needs a 'certificate:'")):
        with pytest.raises(CredentialError, match=told):
            site.server(**settings)


def test_no_file_with_the_key_is_left_even_without_memory_files(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = site.folder / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.delattr("os.memfd_create")
    seen: list[tuple[int, bytes]] = []
    load = ssl.SSLContext.load_cert_chain

    def watched(context: ssl.SSLContext, file: str, password: str) -> None:
        seen.append((Path(file).stat().st_mode & 0o777, Path(file).read_bytes()))
        load(context, file, password=password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watched)
    side = site.server()
    monkeypatch.undo()
    (mode, content), *rest = seen
    assert not rest
    assert mode == 0o600
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in content
    assert b"BEGIN PRIVATE KEY" not in content
    assert list(scratch.iterdir()) == []
    with shaken(side.context, site.client(site.issue())) as ends:
        assert ends.complete


def test_expiries(site: Site) -> None:
    certificate, key = site.issue("guardian", end=NOW + 3 * DAY).write(site.folder, "guardian")
    ca, lists = site.ca(authority("Other", number=5, end=NOW + 2 * DAY)), site.crl(end=NOW + DAY)
    tls = ListenerTls(certificate=certificate, key=key, ca=ca, crl=lists)
    lists[0].write_bytes(lists[0].read_bytes() + crl(site.root))
    found = {
        str(certificate): (NOW + 3 * DAY).timestamp(),
        str(ca[0]): (NOW + 2 * DAY).timestamp(),
        str(lists[0]): (NOW + DAY).timestamp(),
    }
    assert expiries(tls) == found
    assert expiries(DeviceTls(certificate=certificate, key=key, ca=ca, crl=lists)) == found
    assert expiries(AdminTls(certificate=certificate, key=key)) == {str(certificate): found[str(certificate)]}
    assert set(expiries(attrs.evolve(tls, mode=TlsMode.SERVER))) == {str(certificate)}
    assert expiries(attrs.evolve(tls, mode=TlsMode.CLEAR)) == {}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
@pytest.mark.parametrize(
    "options",
    [
        ("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256", "-curves", "P-256"),
        ("-tls1_3",),
    ],
    ids=" ".join,
)
def test_openssl_command_line(site: Site, options: tuple[str, ...]) -> None:
    side = site.server(kind="rsa")
    certificate, key = site.issue(kind="rsa").write(site.folder, "vault")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        where = f"127.0.0.1:{listening.getsockname()[1]}"
        call = ["openssl", "s_client", "-connect", where, "-cert", str(certificate), "-key", str(key), "-CAfile",
                str(site.ca()[0]), "-verify_return_error", "-quiet", "-no_ign_eof", *options]  # fmt: skip
        with subprocess.Popen(
            call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as program:
            assert program.stdin is not None
            assert program.stdout is not None
            program.stdin.write(b"[AOECHO;]\n")
            program.stdin.flush()
            plain, _ = listening.accept()
            plain.settimeout(10)
            with side.context.wrap_socket(plain, server_side=True) as sock:
                assert sock.recv(100) == b"[AOECHO;]\n"
                peer = side.check(sock, time.time())
                assert peer is not None
                assert peer.common_name == "vault-1"
                if "-cipher" in options:
                    assert sock.cipher() == (options[2], "TLSv1.2", 256 if "256-GCM" in options[2] else 128)
                sock.sendall(b"[AOECHO;]")
                assert program.stdout.read(9) == b"[AOECHO;]"
                program.stdin.close()
