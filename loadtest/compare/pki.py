"""A throw-away CA with a certificate for each party, for one run, made by `guardian pki`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import attrs

from loadtest.native.programs import Credentials

from .command import find_guardian
from .processes import ProgramError

TIMEOUT: Final = 60.0


@attrs.frozen(kw_only=True)
class Pki:
    """Who shows what. All proxies show the same, so none gains by a cheaper key."""

    client: Credentials  # the load generator, to proxies
    listener: Credentials  # a proxy, to clients
    upstream: Credentials  # a proxy, to devices
    device: Credentials  # a device, at 127.0.0.1


def make_pki(folder: Path, algorithm: str = "ecdsa") -> Pki:
    """Write certificates and keys into `folder`, which holds none yet: P-256, or RSA-2048 for "rsa".

    Raises NotInstalledError, ProgramError.
    """
    command: list[str | Path] = [find_guardian(), "pki", folder, "--algorithm", algorithm, "--host", "127.0.0.1"]
    command += ["--client", "load", "--device", "device=127.0.0.1"]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    if made.returncode != 0:
        raise ProgramError(f"guardian pki failed: {made.stderr.strip()}")

    def party(name: str) -> Credentials:
        return Credentials(certificate=folder / f"{name}.crt", key=folder / f"{name}.key", ca=folder / "ca.crt")

    return Pki(
        client=party("load"), listener=party("guardian"), upstream=party("guardian-client"), device=party("device")
    )
