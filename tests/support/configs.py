"""A good configuration as text, for tests to spoil one line at a time."""

from __future__ import annotations

from pathlib import Path

from config.loader import Loaded, load

# The full example of the user documentation: every section once.
EXAMPLE = """\
listeners:
  - name: excrypt
    bind: 0.0.0.0:9100
    group: payments
    framing: excrypt
    tls:
      mode: mutual
      certificate: pki/guardian.crt
      key: pki/guardian.key
      key_password_file: pki/password
      ca: [pki/ca.crt]
      crl: []
      min_version: "1.2"
    limits: {connections: 4096, message: 256KiB, pipeline: 16, idle: 10m, handshake: 10s}
groups:
  - name: payments
    type: hsm
    tls: {mode: mutual, certificate: pki/guardian-client.crt, key: pki/guardian-client.key, ca: [pki/ca.crt], verify: name}
    ping: {request: "[AOECHO;AGping;]", interval: 2s, timeout: 1s, fall: 3, rise: 2}
    balancing: {policy: least_outstanding}
    ejection: {failures: 5, base: 30s, max: 5m}
    slow_start: 15s
    request_timeout: 10s
    queue: {size: 1024, timeout: 1s}
    retries: {attempts: 2, attempt_timeout: 1s, budget: 0.2}
    functions: {mode: enforce, allow: ["*"], block: [TIME, GPKD]}
    clients:
      - {match: {common_name: vault-1}, functions: {allow: [vault/communication, vault/data-encryption]}}
    unmatched: group
    devices:
      - {name: hsm1, address: 10.0.8.30:9100, role: primary}
      - {name: hsm2, address: 10.0.8.31:9100, role: production, weight: 2, connections: 8, pipeline: 1, outstanding: 32}
      - {name: hsm3, address: 10.0.8.32:9100, role: backup, balancing: true, ping_timeout: 500ms}
admin:
  bind: 127.0.0.1:9190
workers: 1
"""  # noqa: E501


def load_text(folder: Path, text: str | bytes, environment: dict[str, str] | None = None) -> Loaded:
    """Load that text from ``guardian.yaml`` in the folder."""
    path = folder / "guardian.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(path, environment={} if environment is None else environment)
