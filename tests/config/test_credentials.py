"""Certificates and keys of every form people have them in, and what they are told when a file will not do."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from config.credentials import CredentialError, Credentials, load_certificates, load_credentials, load_crls
from tests.support.tls import Issued, authority, crl, issue

SECRET = b"correct horse"
ENCRYPTED = BestAvailableEncryption(SECRET)


@pytest.fixture(scope="module")
def root() -> Issued:
    return authority()


@pytest.fixture(scope="module")
def leaf(root: Issued) -> Issued:
    upper = issue(root, "Upper", number=3, ca=True)
    return issue(issue(upper, "Lower", number=2, ca=True), "leaf", kind="rsa")


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_bytes(SECRET + b"\n")
    return path


def refusal(*arguments: Path | None) -> str:
    with pytest.raises(CredentialError) as caught:
        load_credentials(*arguments)  # type: ignore[arg-type]
    text = str(caught.value)
    assert SECRET.decode() not in text
    assert "\n" not in text
    return text


def pem(leaf: Issued, form: PrivateFormat, encryption: KeySerializationEncryption) -> bytes:
    return leaf.key.private_bytes(Encoding.PEM, form, encryption)


def bag(leaf: Issued, encryption: KeySerializationEncryption, *, reverse: bool = False) -> bytes:
    assert isinstance(leaf.key, rsa.RSAPrivateKey)
    others = list(leaf.chain)[:: -1 if reverse else 1]
    return pkcs12.serialize_key_and_certificates(b"leaf", leaf.key, leaf.certificate, others, encryption)


def check(found: Credentials, leaf: Issued) -> None:
    assert found.certificate == leaf.certificate
    assert found.chain == leaf.chain
    assert found.key.public_key() == leaf.certificate.public_key()


@pytest.mark.parametrize("form", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8])
@pytest.mark.parametrize("encryption", [NoEncryption(), ENCRYPTED], ids=["clear", "encrypted"])
def test_pem_keys(
    tmp_path: Path, leaf: Issued, password: Path, form: PrivateFormat, encryption: KeySerializationEncryption
) -> None:
    certificate, key = leaf.write(tmp_path, "leaf")
    key.write_bytes(pem(leaf, form, encryption))
    check(load_credentials(certificate, key, password), leaf)


def test_sec1_key_after_its_parameters(tmp_path: Path, root: Issued) -> None:
    one = issue(root, "ec")
    certificate, key = one.write(tmp_path, "ec")
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    key.write_bytes(parameters + pem(one, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    check(load_credentials(certificate, key, None), one)


def test_der_certificate_and_key(tmp_path: Path, leaf: Issued) -> None:
    (tmp_path / "a").write_bytes(leaf.der)
    (tmp_path / "b").write_bytes(leaf.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    assert load_credentials(tmp_path / "a", tmp_path / "b", None).certificate == leaf.certificate


def test_key_in_the_certificates_file(tmp_path: Path, leaf: Issued) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"Bag Attributes\n" + leaf.pem + leaf.key_pem())
    check(load_credentials(both, None, None), leaf)


@pytest.mark.parametrize("reverse", [False, True])
def test_pkcs12_with_password(tmp_path: Path, leaf: Issued, password: Path, reverse: bool) -> None:
    store = tmp_path / "store.of-any-name"
    store.write_bytes(bag(leaf, ENCRYPTED, reverse=reverse))
    check(load_credentials(store, None, password), leaf)
    check(load_credentials(leaf.write(tmp_path, "leaf")[0], store, password), leaf)


def test_pkcs12_as_old_openssl_writes_it(tmp_path: Path, leaf: Issued, password: Path) -> None:
    builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(2048)
    old = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(hashes.SHA1())
    (tmp_path / "old.p12").write_bytes(bag(leaf, old.build(SECRET)))
    check(load_credentials(tmp_path / "old.p12", None, password), leaf)


def test_pkcs12_without_password(tmp_path: Path, leaf: Issued) -> None:
    (tmp_path / "open.p12").write_bytes(bag(leaf, NoEncryption()))
    check(load_credentials(tmp_path / "open.p12", None, None), leaf)


def test_missing_and_wrong_passwords_are_told_apart(tmp_path: Path, leaf: Issued) -> None:
    certificate, key = leaf.write(tmp_path, "leaf")
    wrong = tmp_path / "wrong"
    wrong.write_text("battery staple")
    for data in (pem(leaf, PrivateFormat.PKCS8, ENCRYPTED), bag(leaf, ENCRYPTED)):
        key.write_bytes(data)
        assert "key_password_file" in refusal(certificate, key, None)
        assert "the password does not open" in refusal(certificate, key, wrong)


def test_password_file_with_more_than_a_password(tmp_path: Path, leaf: Issued) -> None:
    two = tmp_path / "two"
    two.write_text("one\ntwo\n")
    assert "2 lines" in refusal(*leaf.write(tmp_path, "leaf"), two)


def test_key_of_another_certificate(tmp_path: Path, leaf: Issued, root: Issued) -> None:
    certificate, _ = leaf.write(tmp_path, "leaf")
    _, key = issue(root, "other").write(tmp_path, "other")
    assert f"{key}: the key does not belong to the certificate (CN=leaf)" in refusal(certificate, key, None)


def test_chain_before_its_leaf(tmp_path: Path, leaf: Issued) -> None:
    certificate, key = leaf.write(tmp_path, "leaf")
    certificate.write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in (*leaf.chain, leaf.certificate)))
    assert "number 3" in refusal(certificate, key, None)


def test_damaged_rsa_key(tmp_path: Path, leaf: Issued) -> None:
    assert isinstance(leaf.key, rsa.RSAPrivateKey)
    good = leaf.key.private_numbers()
    bad = rsa.RSAPrivateNumbers(
        p=good.p, q=good.q, d=good.d ^ 2, dmp1=good.dmp1 ^ 2, dmq1=good.dmq1 ^ 2, iqmp=good.iqmp ^ 2,
        public_numbers=good.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)  # fmt: skip
    certificate, key = leaf.write(tmp_path, "leaf")
    key.write_bytes(bad.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    text = refusal(certificate, key, None)
    assert "damaged" in text


def test_short_rsa_key(tmp_path: Path, root: Issued) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    builder = x509.CertificateBuilder(root.certificate.subject, root.certificate.subject, weak.public_key(), 5)
    dates = root.certificate.not_valid_before_utc, root.certificate.not_valid_after_utc
    certificate = builder.not_valid_before(dates[0]).not_valid_after(dates[1]).sign(root.key, hashes.SHA256())
    assert "1024 bits" in refusal(*Issued(certificate, weak).write(tmp_path, "weak"), None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"hello", "neither PEM nor DER"),
        (b"\x30\x03\x02\x01\x03", "PKCS #12 file"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "damaged"),
        (b"-----BEGIN CERTIFICATE-----\n", "damaged"),
        (b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n", "holds PUBLIC KEY and no CERTIFICATE"),
    ],
)
def test_files_that_are_no_certificate(tmp_path: Path, leaf: Issued, content: bytes, told: str) -> None:
    _, key = leaf.write(tmp_path, "leaf")
    odd = tmp_path / "odd"
    odd.write_bytes(content)
    assert told in refusal(odd, key, None)
    with pytest.raises(CredentialError, match=str(odd)):
        load_certificates([odd])
    with pytest.raises(CredentialError, match=str(odd)):
        load_crls([odd])


def test_absent_files_and_folders(tmp_path: Path, leaf: Issued) -> None:
    certificate, key = leaf.write(tmp_path, "leaf")
    assert "no such file" in refusal(certificate, tmp_path / "none", None)
    assert "is a directory" in refusal(tmp_path, key, None)
    assert "no such file" in refusal(certificate, key, tmp_path / "none")
    assert "holds no private key; name its file with 'key:'" in refusal(certificate, None, None)
    assert "holds CERTIFICATE and no PRIVATE KEY" in refusal(certificate, certificate, None)


def test_the_key_is_in_no_repr(tmp_path: Path, leaf: Issued) -> None:
    assert "key" not in repr(load_credentials(*leaf.write(tmp_path, "leaf"), None))


def test_many_certificates_and_lists(tmp_path: Path, root: Issued, leaf: Issued) -> None:
    (tmp_path / "many").write_bytes(root.pem + leaf.pem)
    (tmp_path / "one").write_bytes(root.der)
    assert len(load_certificates([tmp_path / "many", tmp_path / "one"])) == 5
    lists = crl(root) + crl(root, [leaf])
    (tmp_path / "lists").write_bytes(lists)
    (tmp_path / "list.der").write_bytes(x509.load_pem_x509_crl(lists).public_bytes(Encoding.DER))
    assert [len(one) for one in load_crls([tmp_path / "lists", tmp_path / "list.der"])] == [0, 1, 0]
