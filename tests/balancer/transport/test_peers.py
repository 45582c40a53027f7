"""Our own check of certificates: dates, purpose, revocation, trust, name. No sockets."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from balancer.transport import peers
from balancer.transport.peers import DevicePolicy, Peer, PeerPolicy, PeerRefused, normal_fingerprint
from balancer.transport.trust import Trust, load_trust
from config.credentials import CredentialError
from config.model import Verify
from tests.support.tls import CLIENT, DAY, NOW, SERVER, Issued, authority, crl, issue

TODAY = NOW.timestamp()


@pytest.fixture(scope="module")
def root() -> Issued:
    return authority()


@pytest.fixture(scope="module")
def vault(root: Issued) -> Issued:
    return issue(root, "vault-1", eku=[CLIENT], san=["vault.example", "10.0.0.9", "ops@example.org", "urn://vault"])


def trust(folder: Path, root: Issued, *lists: bytes) -> Trust:
    (folder / "ca").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    for number, data in enumerate(lists):
        (folder / f"crl{number}").write_bytes(data)
    return load_trust([folder / "ca"], [folder / f"crl{number}" for number in range(len(lists))])


def chain(root: Issued, leaf: Issued) -> list[bytes]:
    return [leaf.der, *(link.public_bytes(Encoding.DER) for link in leaf.chain), root.der]


def admit(policy: PeerPolicy | DevicePolicy, root: Issued, leaf: Issued, now: float = TODAY) -> Peer:
    return policy.check(leaf.der, now, chain(root, leaf))


def test_what_a_peer_says_of_itself(tmp_path: Path, root: Issued, vault: Issued) -> None:
    peer = admit(PeerPolicy(trust(tmp_path, root)), root, vault)
    assert peer.common_name == "vault-1"
    assert peer.sans == ("vault.example", "10.0.0.9", "ops@example.org", "urn://vault")
    assert peer.fingerprint == normal_fingerprint(peer.fingerprint)
    assert peer.serial == vault.certificate.serial_number
    assert peer.not_after == vault.certificate.not_valid_after_utc.timestamp()


def test_two_common_names_are_none(tmp_path: Path, root: Issued) -> None:
    two = issue(root, eku=[CLIENT], common_names=["vault-1", "admin"])
    assert admit(PeerPolicy(trust(tmp_path, root)), root, two).common_name is None


@pytest.mark.parametrize("moment", [-1.0, 0.0])
def test_validity_is_a_half_open_range(tmp_path: Path, root: Issued, vault: Issued, moment: float) -> None:
    policy = PeerPolicy(trust(tmp_path, root))
    start = vault.certificate.not_valid_before_utc.timestamp()
    end = vault.certificate.not_valid_after_utc.timestamp()
    admit(policy, root, vault, start)
    admit(policy, root, vault, end - 1)
    with pytest.raises(PeerRefused, match="not valid before"):
        admit(policy, root, vault, start - 1)
    with pytest.raises(PeerRefused, match="the certificate ended"):
        admit(policy, root, vault, end + 1 + moment)


def test_a_chain_ends_with_its_first_certificate(tmp_path: Path, root: Issued) -> None:
    middle = issue(root, "Middle", number=3, ca=True, end=NOW + DAY)
    leaf = issue(middle, "vault-2", eku=[CLIENT])
    policy = PeerPolicy(trust(tmp_path, root))
    peer = admit(policy, root, leaf)
    assert peer.expires == (NOW + DAY).timestamp()
    with pytest.raises(PeerRefused, match="above it ended"):
        policy.recheck(peer, TODAY + 86_401)
    # A resumed session shows no chain, and is judged by the one that was seen.
    with pytest.raises(PeerRefused, match="above it ended"):
        policy.check(leaf.der, TODAY + 86_401)


def test_purpose(tmp_path: Path, root: Issued) -> None:
    required = PeerPolicy(trust(tmp_path, root))
    lenient = PeerPolicy(trust(tmp_path, root), client_auth_required=False)
    none = issue(root, "none")
    admit(lenient, root, none)
    with pytest.raises(PeerRefused, match="has no extendedKeyUsage"):
        admit(required, root, none)
    for wrong in ([SERVER], [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]):
        for policy in (required, lenient):
            with pytest.raises(PeerRefused, match="leaves out clientAuth"):
                admit(policy, root, issue(root, "wrong", eku=wrong))
    admit(required, root, issue(root, "both", eku=[SERVER, CLIENT]))


def test_revocation(tmp_path: Path, root: Issued, vault: Issued) -> None:
    other = issue(root, "vault-2", eku=[CLIENT])
    policy = PeerPolicy(trust(tmp_path, root, crl(root, [vault])))
    with pytest.raises(PeerRefused, match="it is revoked"):
        admit(policy, root, vault)
    admit(policy, root, other)


@pytest.mark.parametrize("order", [1, -1])
def test_several_lists_of_one_ca_add_up(tmp_path: Path, root: Issued, vault: Issued, order: int) -> None:
    lists = [crl(root, [vault], end=NOW - DAY / 2), crl(root)][::order]
    with pytest.raises(PeerRefused, match="it is revoked"):
        admit(PeerPolicy(trust(tmp_path, root, *lists)), root, vault)
    admit(PeerPolicy(trust(tmp_path, root, *lists)), root, issue(root, "vault-2", eku=[CLIENT]))


def test_an_old_list_refuses_everyone_and_says_so(tmp_path: Path, root: Issued, vault: Issued) -> None:
    policy = PeerPolicy(trust(tmp_path, root, crl(root, end=NOW + DAY)))
    admit(policy, root, vault, TODAY + 86_399)
    with pytest.raises(PeerRefused, match="revocation list of CN=Root ended at"):
        admit(policy, root, vault, TODAY + 86_400)


def test_an_issuer_without_list_vouches_for_nobody_once_there_is_one(tmp_path: Path, root: Issued) -> None:
    other = authority("Other")
    with pytest.raises(PeerRefused, match="no revocation list of its issuer"):
        admit(PeerPolicy(trust(tmp_path, root, crl(other))), root, issue(root, "vault-3", eku=[CLIENT]))


def test_a_list_signed_by_somebody_else_is_an_error(tmp_path: Path, root: Issued) -> None:
    impostor = authority("Root", number=9)
    with pytest.raises(CredentialError, match="not signed by the CA of that name"):
        trust(tmp_path, root, crl(impostor))


def test_recheck_after_a_reload(tmp_path: Path, root: Issued, vault: Issued) -> None:
    peer = admit(PeerPolicy(trust(tmp_path, root)), root, vault)
    PeerPolicy(trust(tmp_path, root)).recheck(peer, TODAY)
    with pytest.raises(PeerRefused, match="not trusted any more"):
        PeerPolicy(trust(tmp_path, authority("Other", number=5))).recheck(peer, TODAY)
    with pytest.raises(PeerRefused, match="revoked"):
        PeerPolicy(trust(tmp_path, root, crl(root, [vault]))).recheck(peer, TODAY)


def test_a_root_renewed_with_its_old_key_is_the_same(tmp_path: Path, root: Issued, vault: Issued) -> None:
    peer = admit(PeerPolicy(trust(tmp_path, root)), root, vault)
    PeerPolicy(trust(tmp_path, authority(end=NOW + 900 * DAY))).recheck(peer, TODAY)
    with pytest.raises(PeerRefused, match="not trusted any more"):
        PeerPolicy(trust(tmp_path, authority(number=7))).recheck(peer, TODAY)


def test_a_resumed_session_without_known_chain_passes_only_where_it_was_resumed(
    tmp_path: Path, root: Issued, vault: Issued
) -> None:
    policy = PeerPolicy(trust(tmp_path, root))
    peer = policy.check(vault.der, TODAY)
    assert peer.root is None
    policy.recheck(peer, TODAY)
    with pytest.raises(PeerRefused, match="not known any more"):
        PeerPolicy(trust(tmp_path, root)).recheck(peer, TODAY)


def test_no_certificate_and_garbage(tmp_path: Path, root: Issued) -> None:
    policy = PeerPolicy(trust(tmp_path, root))
    with pytest.raises(PeerRefused, match="showed no certificate"):
        policy.check(None, TODAY)
    with pytest.raises(PeerRefused, match="malformed"):
        policy.check(b"\x30\x03\x02\x01\x01", TODAY)


def test_memory_of_chains_is_bounded(
    tmp_path: Path, root: Issued, vault: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_CACHE_SIZE", 2)
    policy = PeerPolicy(trust(tmp_path, root))
    others = [issue(root, f"other-{number}", eku=[CLIENT]) for number in range(2)]
    for leaf in (vault, *others):
        admit(policy, root, leaf)
    assert policy.check(vault.der, TODAY).root is None
    assert policy.check(others[0].der, TODAY).root is not None


def device_policy(
    folder: Path, root: Issued, verify: Verify, *, name: str = "hsm1.example", fingerprint: str | None = None
) -> DevicePolicy:
    return DevicePolicy(trust(folder, root), verify=verify, name=name, fingerprint=fingerprint)


def test_device_by_name(tmp_path: Path, root: Issued) -> None:
    policy = device_policy(tmp_path, root, Verify.NAME)
    admit(policy, root, issue(root, "x", san=["hsm1.example"]))
    admit(policy, root, issue(root, "hsm1.example"))
    with pytest.raises(PeerRefused, match=r"not for 'hsm1.example' but for 'hsm2.example', '10.0.0.1'"):
        admit(policy, root, issue(root, "hsm1.example", san=["hsm2.example", "10.0.0.1"]))
    with pytest.raises(PeerRefused, match="but for no host"):
        admit(policy, root, issue(root, "hsm1.example", san=["hsm1@example.org"]))
    admit(device_policy(tmp_path, root, Verify.NAME, name="Production"), root, issue(root, "Production"))


def test_device_by_ca_takes_any_name_but_not_any_purpose(tmp_path: Path, root: Issued) -> None:
    policy = device_policy(tmp_path, root, Verify.CA)
    admit(policy, root, issue(root, "whoever"))
    admit(policy, root, issue(root, "whoever", eku=[SERVER]))
    with pytest.raises(PeerRefused, match="leaves out serverAuth"):
        admit(policy, root, issue(root, "whoever", eku=[CLIENT]))


def test_device_by_fingerprint(tmp_path: Path, root: Issued) -> None:
    device = issue(root, "whoever")
    digits = admit(device_policy(tmp_path, root, Verify.CA), root, device).fingerprint.removeprefix("sha256:").upper()
    pin = "SHA256:" + ":".join(digits[at : at + 2] for at in range(0, 64, 2))
    policy = device_policy(tmp_path, root, Verify.FINGERPRINT, fingerprint=pin)
    admit(policy, root, device)
    with pytest.raises(PeerRefused, match="fingerprint is sha256:"):
        admit(policy, root, issue(root, "whoever"))
    alone = DevicePolicy(None, verify=Verify.FINGERPRINT, name="x", fingerprint=pin)
    alone.check(device.der, TODAY)
    with pytest.raises(PeerRefused, match="the certificate ended"):
        alone.check(device.der, TODAY + 31 * 86_400)
    with pytest.raises(PeerRefused, match="not the expected one"):
        DevicePolicy(None, verify=Verify.FINGERPRINT, name="x").check(device.der, TODAY)


@pytest.mark.parametrize("text", ["", "sha256:", "sha1:" + "0" * 64, "sha256:" + "0" * 63, "sha256:" + "g" * 64])
def test_what_is_no_fingerprint(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        normal_fingerprint(text)
