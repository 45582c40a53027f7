"""Contexts and policies for devices, and what both sides need of files, against real TLS peers."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives import hashes

from balancer.transport.peers import PeerRefused
from balancer.transport.tls import DeviceSide, device_side
from config.credentials import CredentialError
from config.expiry import expiries
from config.model import AdminTls, DeviceTls, ListenerTls, TlsMode, Verify
from tests.support.site import Site
from tests.support.tls import CLIENT, DAY, NOW, SERVER, Issued, authority, crl, issue, shaken

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BOTH = pytest.mark.parametrize("version", [V12, V13])


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
