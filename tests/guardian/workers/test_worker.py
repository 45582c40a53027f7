"""What is a worker's own."""

from __future__ import annotations

from pathlib import Path

import attrs

from config.loader import load
from config.model import Admin, Audit
from guardian.workers.worker import of_a_worker


def test_a_worker_reads_no_token_of_the_admin_port_and_no_key_of_the_record(tmp_path: Path) -> None:
    file = tmp_path / "guardian.yaml"
    file.write_text(
        """\
listeners:
  - {name: excrypt, bind: "127.0.0.1:0", group: payments, tls: {mode: clear}}
groups:
  - name: payments
    tls: {mode: clear}
    devices: [{name: hsm1, address: "127.0.0.1:1", role: primary}]
admin: {token_file: token, buckets: [1ms, 2ms]}
audit: {file: audit.log, key_file: key}
"""
    )
    config = load(file).config
    assert config is not None
    theirs = of_a_worker(config)
    assert theirs.admin == Admin(buckets=(0.001, 0.002)), "histograms of all must have the same bounds"
    assert theirs.audit == Audit()
    assert attrs.evolve(theirs, admin=config.admin, audit=config.audit) == config
