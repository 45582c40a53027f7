"""The configuration that the demo runs the proxy with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import yaml

GROUP: Final = "payments"
PROXY: Final = "guardian-client"  # the Common Name that `guardian pki` gives the proxy towards devices
CLIENT: Final = "demo-client"


@attrs.frozen(kw_only=True)
class DemoDevice:
    name: str
    role: str
    latency: str
    slow_latency: str  # ten times as long


DEVICES: Final[Sequence[DemoDevice]] = (
    DemoDevice(name="hsm1", role="primary", latency="lognormal:2ms,p99=5ms", slow_latency="lognormal:20ms,p99=50ms"),
    DemoDevice(name="hsm2", role="production", latency="lognormal:3ms,p99=6ms", slow_latency="lognormal:30ms,p99=60ms"),
    DemoDevice(name="hsm3", role="production", latency="lognormal:4ms,p99=8ms", slow_latency="lognormal:40ms,p99=80ms"),
    DemoDevice(name="hsm4", role="backup", latency="lognormal:3ms,p99=6ms", slow_latency="lognormal:30ms,p99=60ms"),
)
VICTIM: Final = "hsm2"
BACKUP: Final = "hsm4"


def write(file: Path, addresses: Mapping[str, str], admin: str, workers: int) -> None:
    """Write the file; `addresses` has host:port of each device. Certificates are in ``pki`` beside it."""
    document: dict[str, Any] = {
        "listeners": [
            {
                "name": "excrypt",
                "bind": "127.0.0.1:0",
                "group": GROUP,
                "tls": {
                    "mode": "mutual",
                    "certificate": "pki/guardian.crt",
                    "key": "pki/guardian.key",
                    "ca": ["pki/ca.crt"],
                },
            }
        ],
        "groups": [
            {
                "name": GROUP,
                "tls": {
                    "mode": "mutual",
                    "certificate": f"pki/{PROXY}.crt",
                    "key": f"pki/{PROXY}.key",
                    "ca": ["pki/ca.crt"],
                    "verify": "name",
                },
                # Quick, so that a demo of seconds shows what takes longer in a computer centre.
                "ping": {"interval": "500ms", "timeout": "500ms", "fall": 2, "rise": 2},
                "slow_start": "2s",
                "writes": {"journal": "writes.journal"},
                "devices": [
                    {"name": device.name, "address": addresses[device.name], "role": device.role} for device in DEVICES
                ],
            }
        ],
        "admin": {"bind": admin},
        "workers": workers,
        "audit": {"file": "audit.log"},
        "logs": {"format": "json"},
    }
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
