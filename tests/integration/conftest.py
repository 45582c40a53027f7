"""A throw-away PKI for all integration tests of a run."""

from __future__ import annotations

import pytest

from guardian.pki import PkiFiles, make_pki

DEVICES = ("hsm1", "hsm2", "hsm3", "hsm4")


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PkiFiles:
    """ECDSA, for its quick handshakes; clients vault-1, vault-2 and mallory."""
    return make_pki(
        tmp_path_factory.mktemp("pki") / "files",
        algorithm="ecdsa",
        clients=("vault-1", "vault-2", "mallory"),
        devices=dict.fromkeys(DEVICES, ("127.0.0.1",)),
        crl=True,
        days=365,
    )
