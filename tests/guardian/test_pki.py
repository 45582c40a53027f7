"""The throw-away PKI: what it writes serves the proxy as it is, and nothing is ever lost by mistake."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from balancer.transport.peers import PeerRefused
from balancer.transport.tls import device_side, server_side
from config.credentials import load_certificates, load_credentials, load_crls
from config.loader import load
from config.model import DeviceTls, ListenerTls
from guardian.cli import execute
from guardian.pki import PkiError, PkiFiles, make_pki, revoke
from tests.support.tls import shaken


def small(folder: Path, algorithm: Literal["rsa", "ecdsa"] = "ecdsa", *, crl: bool = False) -> PkiFiles:
    return make_pki(
        folder, algorithm=algorithm, clients=["vault-1"], devices={"hsm1": ["127.0.0.1", "hsm1.example"]}, crl=crl
    )


@pytest.mark.parametrize("algorithm", ["rsa", "ecdsa"])
def test_everybody_can_talk_to_everybody(tmp_path: Path, algorithm: Literal["rsa", "ecdsa"]) -> None:
    files = small(tmp_path / "pki", algorithm)
    listener = ListenerTls(certificate=files.server.certificate, key=files.server.key, ca=(files.ca,))
    us = server_side(listener)
    client = files.clients["vault-1"]
    assert client.p12 is not None
    them = device_side(DeviceTls(certificate=client.p12, ca=(files.ca,)), "localhost")
    assert us is not None
    assert them is not None
    with shaken(us.context, them.context) as ends:
        assert ends.complete
        them.check(ends.client, time.time())
        peer = us.check(ends.server, time.time())
        assert peer is not None
        assert peer.common_name == "vault-1"

    device = files.devices["hsm1"]
    hsm = server_side(ListenerTls(certificate=device.certificate, key=device.key, ca=(files.ca,)))
    proxy = DeviceTls(certificate=files.proxy_client.certificate, key=files.proxy_client.key, ca=(files.ca,))
    assert hsm is not None
    for host in ("127.0.0.1", "hsm1.example"):
        side = device_side(proxy, host)
        assert side is not None
        with shaken(hsm.context, side.context) as ends:
            assert side.check(ends.client, time.time()).common_name == "hsm1"
            assert hsm.check(ends.server, time.time()) is not None
    side = device_side(proxy, "127.0.0.2")
    assert side is not None
    with shaken(hsm.context, side.context) as ends, pytest.raises(PeerRefused, match="not for"):
        side.check(ends.client, time.time())


def test_kinds_of_keys_and_names_of_files(tmp_path: Path) -> None:
    files = small(tmp_path, "rsa")
    key = load_credentials(tmp_path / "guardian.crt", tmp_path / "guardian.key", None).key
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048
    assert {path.name for path in tmp_path.iterdir()} == {
        "ca.crt", "ca.key", "guardian.crt", "guardian.key", "guardian-client.crt", "guardian-client.key",
        "vault-1.crt", "vault-1.key", "vault-1.p12", "hsm1.crt", "hsm1.key",
    }  # fmt: skip
    assert sorted(files.paths()) == sorted(tmp_path.iterdir())
    small(tmp_path / "ec")
    key = load_credentials(tmp_path / "ec/hsm1.crt", tmp_path / "ec/hsm1.key", None).key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    small(tmp_path / "pki")
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "pki").iterdir():
        expected = 0o600 if path.suffix in (".key", ".p12") else 0o644
        assert path.stat().st_mode & 0o777 & ~0o022 == expected & ~0o022, path


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_openssl_is_strict_with_it_and_finds_nothing(tmp_path: Path) -> None:
    files = small(tmp_path)
    leaves = [str(pair.certificate) for pair in (files.server, files.proxy_client, *files.clients.values())]
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", str(files.ca), *leaves],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_dates_come_from_now(tmp_path: Path) -> None:
    start = datetime(2030, 1, 1, tzinfo=UTC)
    files = make_pki(tmp_path, algorithm="ecdsa", days=7, now=start)
    for path in (files.ca, files.server.certificate):
        certificate = load_certificates([path])[0]
        assert certificate.not_valid_before_utc == start - timedelta(minutes=5)
        assert certificate.not_valid_after_utc == start + timedelta(days=7)


def test_what_is_fresh_need_not_be_renewed_soon(tmp_path: Path) -> None:
    assert execute(["pki", str(tmp_path / "pki"), "--algorithm", "ecdsa", "--device", "hsm1=127.0.0.1"]) == 0
    tls = "certificate: pki/{0}.crt, key: pki/{0}.key, ca: [pki/ca.crt]"
    path = tmp_path / "guardian.yaml"
    path.write_text(f"""\
listeners: [{{name: excrypt, bind: "127.0.0.1:9100", group: g, tls: {{{tls.format("guardian")}}}}}]
groups:
  - name: g
    tls: {{{tls.format("guardian-client")}}}
    devices: [{{name: hsm1, address: "127.0.0.1:9101", role: primary}}]
""")
    assert load(path, read_files=True).problems == ()


def test_what_is_there_stays_unless_forced(tmp_path: Path) -> None:
    small(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(PkiError, match="already there; --force"):
        small(tmp_path)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(PkiError, match="already there"):
        make_pki(tmp_path, algorithm="ecdsa", clients=["fresh"])
    assert not (tmp_path / "fresh.key").exists()
    make_pki(tmp_path, algorithm="ecdsa", force=True)
    assert (tmp_path / "ca.crt").read_bytes() != before[tmp_path / "ca.crt"]


def test_a_revoked_client_is_refused_and_another_is_not(tmp_path: Path) -> None:
    files = make_pki(tmp_path, algorithm="ecdsa", clients=["good", "bad"], crl=True)
    assert files.crl is not None
    settings = ListenerTls(certificate=files.server.certificate, key=files.server.key, ca=(files.ca,), crl=(files.crl,))
    for revoked, verdict in (((), True), (("bad",), False), (("bad", "guardian-client"), False)):
        if revoked:
            assert revoke(tmp_path, revoked) == files.crl
            assert len(load_crls([files.crl])[0]) == len(revoked)
        us = server_side(settings)
        assert us is not None
        for name, expected in (("good", True), ("bad", verdict)):
            pair = files.clients[name]
            tls = DeviceTls(certificate=pair.certificate, key=pair.key, ca=(files.ca,))
            them = device_side(tls, "localhost")
            assert them is not None
            them.context.maximum_version = ssl.TLSVersion.TLSv1_2
            with shaken(us.context, them.context) as ends:
                assert ends.complete is expected, (revoked, name)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["../x"], "cannot name files"),
        ([""], "cannot name files"),
        ([".hidden"], "cannot name files"),
        (["guardian"], "PKI's own files"),
        (["CA"], "PKI's own files"),
        (["a", "a"], "given twice"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, names: list[str], told: str) -> None:
    with pytest.raises(PkiError, match=told):
        make_pki(tmp_path / "pki", clients=names)
    assert not (tmp_path / "pki").exists()


@pytest.mark.parametrize("host", ["", "a b", "höst", "a=b", "10.0.0.0/8"])
def test_hosts_that_cannot_be(tmp_path: Path, host: str) -> None:
    with pytest.raises(PkiError, match="neither a host name nor an address"):
        make_pki(tmp_path / "pki", devices={"hsm1": [host]})
    assert not (tmp_path / "pki").exists()


def test_revoking_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="no such file"):
        revoke(tmp_path, ["vault-1"])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pki"
    call = ["pki", str(folder), "--algorithm", "ecdsa", "--client", "vault-1", "--device", "hsm1=10.0.8.30,hsm1"]
    assert execute(call) == 0
    assert capsys.readouterr().out.split() == [str(path) for path in _paths(folder)]
    assert execute(call) == 1
    assert "already there" in capsys.readouterr().err
    assert execute([*call, "--force"]) == 0
    assert execute(["pki", str(folder), "--revoke", "vault-1"]) == 0
    assert len(load_crls([folder / "ca.crl"])[0]) == 1
    assert execute(["pki", str(folder), "--revoke", "nobody"]) == 1
    assert execute(["pki", str(folder), "--revoke", "vault-1", "--client", "x"]) == 2
    assert execute(["pki", str(folder), "--device", "hsm1="]) == 2
    assert execute(["pki", str(folder), "--device", "hsm1=a", "--device", "hsm1=b"]) == 2
    assert execute(["pki", str(folder / "ca.crt" / "below")]) == 1


def _paths(folder: Path) -> list[Path]:
    names = ["ca.crt", "ca.key", "guardian.crt", "guardian.key", "guardian-client.crt", "guardian-client.key",
             "vault-1.crt", "vault-1.key", "vault-1.p12", "hsm1.crt", "hsm1.key"]  # fmt: skip
    return [folder / name for name in names]


def test_one_more_client_for_a_ca_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pki"
    small(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert execute(["pki", str(folder), "--add", "--client", "app2", "--device", "hsm2=127.0.0.2"]) == 0
    printed = capsys.readouterr()
    made = {"app2.crt", "app2.key", "app2.p12", "hsm2.crt", "hsm2.key"}
    assert {Path(line).name for line in printed.out.splitlines()} == made
    assert "for trying out and testing only" in printed.err
    assert {path.name for path in folder.iterdir()} - {path.name for path in before} == made
    assert all(path.read_bytes() == data for path, data in before.items())
    [ca] = load_certificates([folder / "ca.crt"])
    for name in ("app2", "hsm2"):
        [leaf] = load_certificates([folder / f"{name}.crt"])
        leaf.verify_directly_issued_by(ca)
        assert leaf.not_valid_after_utc <= ca.not_valid_after_utc
        assert isinstance(load_credentials(folder / f"{name}.crt", folder / f"{name}.key", None).key,
                          ec.EllipticCurvePrivateKey)  # fmt: skip
    assert execute(["pki", str(folder), "--add", "--client", "app2"]) == 1
    assert "--renew makes a new one" in capsys.readouterr().err
    assert execute(["pki", str(tmp_path / "nothing"), "--add", "--client", "app2"]) == 1
    assert "a CA that `guardian pki` made" in capsys.readouterr().err


def test_what_is_renewed_says_the_same_with_another_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pki"
    make_pki(folder, algorithm="ecdsa", clients=["vault-1"], devices={"hsm1": ["127.0.0.1", "hsm1.example"]}, days=30,
             now=datetime.now(UTC) - timedelta(days=20))  # fmt: skip
    names = ["vault-1", "hsm1", "guardian"]
    old = {name: load_certificates([folder / f"{name}.crt"])[0] for name in names}
    renew = [argument for name in names for argument in ("--renew", name)]
    assert execute(["pki", str(folder), *renew, "--days", "9"]) == 0
    for name in names:
        new = load_credentials(folder / f"{name}.crt", folder / f"{name}.key", None).certificate
        assert new.subject == old[name].subject
        assert new.public_key() != old[name].public_key()
        assert new.not_valid_before_utc > old[name].not_valid_before_utc
        for kind in (x509.ExtendedKeyUsage, x509.SubjectAlternativeName):
            found = [
                [each.value for each in one.extensions if isinstance(each.value, kind)] for one in (old[name], new)
            ]
            assert found[0] == found[1]
    assert load_credentials(folder / "vault-1.p12", None, None).certificate == load_certificates(
        [folder / "vault-1.crt"])[0]  # fmt: skip
    assert not (folder / "hsm1.p12").exists()
    # Not longer than the CA, which ends in ten days.
    assert execute(["pki", str(folder), "--renew", "hsm1", "--days", "300"]) == 0
    [ca], [hsm1] = load_certificates([folder / "ca.crt"]), load_certificates([folder / "hsm1.crt"])
    assert hsm1.not_valid_after_utc == ca.not_valid_after_utc
    for name in ("ca", "nobody", "../pki/hsm1"):
        assert execute(["pki", str(folder), "--renew", name]) == 1
    capsys.readouterr()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
@pytest.mark.parametrize("word", [None, "correct horse"])
def test_openssl_opens_the_pkcs12_without_its_legacy_provider(tmp_path: Path, word: str | None) -> None:
    arguments = []
    if word is not None:
        (tmp_path / "password").write_text(word + "\n")
        arguments = ["--p12-password-file", str(tmp_path / "password")]
    assert execute(["pki", str(tmp_path / "pki"), "--algorithm", "ecc", "--client", "app1", *arguments]) == 0

    def opened(password: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["openssl", "pkcs12", "-info", "-nodes", "-in", str(tmp_path / "pki/app1.p12"),
             "-passin", f"pass:{password}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = opened(word or "")
    assert done.returncode == 0, done.stderr
    assert "PRIVATE KEY" in done.stdout
    if word is not None:
        assert opened("battery staple").returncode != 0
        # What OpenSSL 1.0 wrote itself, so that every release can read it; nothing of PKCS #5 v2.
        assert "pbeWithSHA1And3-KeyTripleDES-CBC" in done.stderr
        assert "MAC: sha1" in done.stderr
        assert "PBES2" not in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["--add"], ["--add", "--client", "a", "--force"], ["--add", "--client", "a", "--algorithm", "rsa"],
        ["--renew", "a", "--client", "b"], ["--revoke", "a", "--renew", "b"],
        ["--p12-password-file", "/does/not/exist"], ["--p12-password-file", "/dev/null"],
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_wrong_usage(tmp_path: Path, args: list[str]) -> None:
    assert execute(["pki", str(tmp_path / "pki"), *args]) == 2
    assert not (tmp_path / "pki").exists()
