"""Files that a configuration names: each fault at the line of the key that names it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from config.loader import Loaded, load
from tests.support import configs

EXAMPLE = configs.EXAMPLE.replace("    unmatched: group", "    writes: {journal: writes.journal}")  # line 29
NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
L, G = "listeners.excrypt.tls", "groups.payments.tls"


class Pki:
    """A folder with all the files that the example names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pki = folder / "pki"
        self.pki.mkdir()
        self.ca_key = ec.generate_private_key(ec.SECP256R1())
        self.write("ca.crt", self.certificate("CA", self.ca_key))
        for name, password in (("guardian", b"open sesame"), ("guardian-client", None)):
            key = ec.generate_private_key(ec.SECP256R1())
            self.write(f"{name}.crt", self.certificate(name, key))
            self.write_key(f"{name}.key", key, password)
        self.write("password", b"open sesame\n", 0o600)

    def write(self, name: str, content: bytes, mode: int = 0o644) -> None:
        path = self.pki / name
        path.write_bytes(content)
        path.chmod(mode)

    def write_key(self, name: str, key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> None:
        lock: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
        self.write(name, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock), 0o600)

    def certificate(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        starts: datetime = NOW - 300 * DAY,
        ends: datetime = NOW + 300 * DAY,
    ) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), starts, ends)
        return builder.sign(self.ca_key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def crl(self, updated: datetime, until: datetime) -> bytes:
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")])
        builder = x509.CertificateRevocationListBuilder(issuer, updated, until)
        return builder.sign(self.ca_key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def load(self, text: str = EXAMPLE) -> Loaded:
        path = self.folder / "guardian.yaml"
        path.write_text(text)
        return load(path, read_files=True, environment={}, now=NOW)

    def one(self, text: str = EXAMPLE) -> tuple[int, str, str, str]:
        """The only problem: line, key, severity and message."""
        found = self.load(text).problems
        assert len(found) == 1, [str(problem) for problem in found]
        return found[0].line, found[0].path, found[0].severity, found[0].message


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def test_good_files_are_no_problem(pki: Pki) -> None:
    loaded = pki.load()
    assert loaded.problems == ()
    assert loaded.config is not None


def test_files_are_not_read_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text(EXAMPLE)
    assert load(path).problems == ()


def test_every_missing_file_is_said_at_its_own_key(tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text(EXAMPLE)
    found = load(path, read_files=True).problems
    assert [(problem.line, problem.path) for problem in found] == [
        (8, f"{L}.certificate"),
        (9, f"{L}.key"),
        (10, f"{L}.key_password_file"),
        (11, f"{L}.ca[0]"),
        (18, f"{G}.certificate"),
        (18, f"{G}.key"),
        (18, f"{G}.ca[0]"),
    ]
    assert all("does not exist" in problem.message for problem in found)


def test_directory_in_place_of_a_file(pki: Pki) -> None:
    (pki.pki / "ca.crt").unlink()
    (pki.pki / "ca.crt").mkdir()
    assert {(p.line, p.path) for p in pki.load().problems} == {(11, f"{L}.ca[0]"), (18, f"{G}.ca[0]")}


def test_pipe_in_place_of_a_file_does_not_wait(pki: Pki) -> None:
    (pki.pki / "guardian.key").unlink()
    os.mkfifo(pki.pki / "guardian.key")
    line, path, severity, message = pki.one()
    assert (line, path, severity) == (9, f"{L}.key", "error")
    assert "no regular file" in message


def test_what_is_no_certificate(pki: Pki) -> None:
    pki.write("guardian.crt", b"hello")
    assert pki.one()[:3] == (8, f"{L}.certificate", "error")


def test_what_is_no_ca(pki: Pki) -> None:
    pki.write("own.crt", b"hello")
    assert pki.one(EXAMPLE.replace("ca: [pki/ca.crt]\n", "ca: [pki/ca.crt, pki/own.crt]\n"))[:3] == (
        11,
        f"{L}.ca[1]",
        "error",
    )


def test_key_of_another_certificate(pki: Pki) -> None:
    pki.write_key("guardian.key", ec.generate_private_key(ec.SECP256R1()), b"open sesame")
    line, path, severity, message = pki.one()
    assert (line, path, severity) == (9, f"{L}.key", "error")
    assert "does not belong" in message


def test_wrong_password_is_never_repeated(pki: Pki) -> None:
    pki.write("password", b"wrong guess\n", 0o600)
    line, path, severity, message = pki.one()
    assert (line, path, severity) == (9, f"{L}.key", "error")
    assert "password" in message
    assert "wrong guess" not in message


def test_password_missing(pki: Pki) -> None:
    assert pki.one(EXAMPLE.replace("      key_password_file: pki/password\n", ""))[:3] == (9, f"{L}.key", "error")


def test_password_file_with_more_than_a_password(pki: Pki) -> None:
    pki.write("password", b"open sesame\nand more\n", 0o600)
    assert pki.one()[:3] == (10, f"{L}.key_password_file", "error")


@pytest.mark.parametrize(
    ("starts", "ends", "severity", "text"),
    [
        (NOW - 9 * DAY, NOW - DAY, "error", "expired on 2026-05-31"),
        (NOW - 9 * DAY, NOW, "error", "expired on 2026-06-01"),
        (NOW + DAY, NOW + 99 * DAY, "error", "not valid before 2026-06-02"),
        (NOW - 9 * DAY, NOW + 29 * DAY, "warning", "expires on 2026-06-30"),
    ],
)
def test_dates_of_our_certificate(pki: Pki, starts: datetime, ends: datetime, severity: str, text: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pki.write("guardian-client.crt", pki.certificate("client", key, starts, ends))
    pki.write_key("guardian-client.key", key)
    line, path, found, message = pki.one()
    assert (line, path, found) == (18, f"{G}.certificate", severity)
    assert text in message


def test_certificate_with_thirty_days_left_is_fine(pki: Pki) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pki.write("guardian-client.crt", pki.certificate("client", key, NOW - DAY, NOW + 30 * DAY))
    pki.write_key("guardian-client.key", key)
    assert pki.load().problems == ()


def test_expired_ca_is_said_once_for_all_devices(pki: Pki) -> None:
    pki.write("ca.crt", pki.certificate("CA", pki.ca_key, NOW - 9 * DAY, NOW - DAY))
    assert [(p.line, p.path) for p in pki.load().problems] == [(11, f"{L}.ca[0]"), (18, f"{G}.ca[0]")]


@pytest.mark.parametrize(
    ("updated", "until", "text"),
    [
        (NOW - 9 * DAY, NOW - DAY, "next update was due on 2026-05-31"),
        (NOW + DAY, NOW + 9 * DAY, "not valid before 2026-06-02"),
    ],
)
def test_revocation_list_out_of_date(pki: Pki, updated: datetime, until: datetime, text: str) -> None:
    pki.write("ca.crl", pki.crl(updated, until))
    line, path, severity, message = pki.one(EXAMPLE.replace("crl: []", "crl: [pki/ca.crl]"))
    assert (line, path, severity) == (12, f"{L}.crl[0]", "error")
    assert text in message


def test_revocation_list_in_date_is_fine(pki: Pki) -> None:
    pki.write("ca.crl", pki.crl(NOW - DAY, NOW + DAY))
    assert pki.load(EXAMPLE.replace("crl: []", "crl: [pki/ca.crl]")).problems == ()


def test_what_is_no_revocation_list(pki: Pki) -> None:
    assert pki.one(EXAMPLE.replace("crl: []", "crl: [pki/ca.crt]"))[:3] == (12, f"{L}.crl[0]", "error")


def test_secrets_that_everyone_can_read(pki: Pki) -> None:
    for name in ("guardian.key", "password", "guardian-client.key"):
        (pki.pki / name).chmod(0o644)
    found = pki.load()
    assert [(p.line, p.path, p.severity) for p in found.problems] == [
        (9, f"{L}.key", "warning"),
        (10, f"{L}.key_password_file", "warning"),
        (18, f"{G}.key", "warning"),
    ]
    assert found.config is not None


def test_certificate_file_that_holds_its_key_is_a_secret_too(pki: Pki) -> None:
    both = (pki.pki / "guardian-client.crt").read_bytes() + (pki.pki / "guardian-client.key").read_bytes()
    pki.write("guardian-client.crt", both, 0o644)
    text = EXAMPLE.replace("key: pki/guardian-client.key, ", "")
    assert pki.one(text)[:3] == (18, f"{G}.certificate", "warning")
    (pki.pki / "guardian-client.crt").chmod(0o600)
    assert pki.load(text).problems == ()


def test_a_certificate_is_no_secret_where_only_its_key_is_wrong(pki: Pki) -> None:
    """Else who has no credentials would be told to hide what everybody may see."""
    found = pki.load(EXAMPLE.replace("key: pki/guardian-client.key", 'key: "${env:CREDENTIALS_DIRECTORY}/client.key"'))
    assert [(p.path, p.severity) for p in found.problems] == [(f"{G}.key", "error")]
    assert "systemd sets it for the service alone" in found.problems[0].message


@pytest.mark.parametrize(
    ("replaced", "by", "where"),
    [
        ("journal: writes.journal", "journal: locked/writes.journal", "groups.payments.writes.journal"),
        ("admin:\n", "audit: {file: locked/audit.jsonl}\nadmin:\n", "audit.file"),
        ("  bind: 127.0.0.1:9190", "  bind: unix:locked/in/admin.sock", "admin.bind"),
    ],
)  # fmt: skip
def test_a_folder_that_nobody_here_may_enter(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, replaced: str, by: str, where: str
) -> None:
    (pki.folder / "locked").mkdir()
    real = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if pki.folder / "locked" in path.parents:  # root may enter any
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat)
    assert replaced in EXAMPLE
    _, path, severity, message = pki.one(EXAMPLE.replace(replaced, by))
    assert (path, severity) == (where, "error")
    assert "whose folder cannot be entered by who runs this" in message


def test_device_override_is_said_at_the_device(pki: Pki) -> None:
    text = EXAMPLE.replace("role: backup", "role: backup, tls: {ca: [pki/none.crt]}")
    assert pki.one(text)[:3] == (33, "groups.payments.devices.hsm3.tls.ca[0]", "error")


def test_clear_connections_need_no_files(tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    text = EXAMPLE.replace(EXAMPLE.splitlines()[17], "    tls: {mode: clear}")
    start, end = text.index("      mode: mutual\n"), text.index("    limits:")
    path.write_text(text[:start] + "      mode: clear\n" + text[end:])
    assert load(path, read_files=True).problems == ()


def test_the_folder_of_the_admin_socket_may_be_made_by_systemd(pki: Pki) -> None:
    """It is there only while the service runs, and a check comes before."""
    at = "  bind: unix:{}/none-such/admin.sock".format
    _, path, severity, message = pki.one(EXAMPLE.replace("  bind: 127.0.0.1:9190", at("/run")))
    assert (path, severity) == ("admin.bind", "warning")
    assert "RuntimeDirectory=" in message
    assert pki.one(EXAMPLE.replace("  bind: 127.0.0.1:9190", at(pki.folder)))[1:3] == ("admin.bind", "error")


def test_token_must_hold_something(pki: Pki) -> None:
    text = EXAMPLE.replace("admin:\n", "admin:\n  token_file: pki/token\n")
    assert pki.one(text)[:3] == (35, "admin.token_file", "error")
    pki.write("token", b"\n", 0o600)
    assert "is empty" in pki.one(text)[3]
    pki.write("token", b"t0ken\n", 0o600)
    assert pki.load(text).problems == ()


def test_tokens_of_the_admin_are_read_and_a_socket_needs_its_folder(pki: Pki) -> None:
    text = EXAMPLE.replace("admin:\n", "admin:\n  tokens: [{name: a, role: view, file: pki/none}]\n")
    assert pki.one(text)[:3] == (35, "admin.tokens.a.file", "error")
    text = EXAMPLE.replace("127.0.0.1:9190", "unix:none/admin.sock")
    assert pki.one(text)[:3] == (35, "admin.bind", "error")


def test_files_of_the_admin_are_read_too(pki: Pki) -> None:
    text = EXAMPLE.replace("admin:\n", "admin:\n  tls: {certificate: pki/none.crt}\n")
    assert pki.one(text)[:3] == (35, "admin.tls.certificate", "error")


def test_files_are_read_although_other_keys_are_wrong(pki: Pki) -> None:
    (pki.pki / "guardian.crt").unlink()
    found = pki.load(EXAMPLE.replace("workers: 1", "workers: 0")).problems
    assert [(problem.line, problem.path) for problem in found] == [(8, f"{L}.certificate"), (36, "workers")]


def test_group_of_several_devices_without_a_write_journal_is_a_warning(pki: Pki) -> None:
    line, path, severity, message = pki.one(EXAMPLE.replace("{journal: writes.journal}", "{quorum: majority}"))
    assert (line, path, severity) == (29, "groups.payments.writes.journal", "warning")
    assert "after a crash" in message
    assert pki.load(EXAMPLE.replace("{journal: writes.journal}", "{mode: primary}")).problems == ()


def test_write_journal_must_be_a_file_that_can_be_made(pki: Pki) -> None:
    (pki.folder / "writes.journal").mkdir()
    assert "no regular file" in pki.one()[3]
    text = EXAMPLE.replace("writes.journal", "none/writes.journal")
    assert pki.one(text)[:3] == (29, "groups.payments.writes.journal", "error")
    assert "whose folder does not exist" in pki.one(text)[3]
