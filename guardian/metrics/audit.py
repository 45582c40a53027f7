"""The record of what happened, and its copy to syslog."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from balancer.snapshot import AuditSnapshot, AuditState

from .families import add_state, counter, gauge


def audit(snapshot: AuditSnapshot) -> Iterator[Metric]:
    state = gauge("guardian_audit_state", "1 for the state that the audit file is in.", "state")
    add_state(state, (), snapshot.state.value, (each.value for each in AuditState))
    records = counter("guardian_audit_records", "Records written to the audit file.")
    records.add_metric((), snapshot.records)
    failures = counter("guardian_audit_failures", "Tries to write to the audit file that failed.")
    failures.add_metric((), snapshot.failures)
    lost = counter("guardian_audit_lost", "Records for which there was no room while the file could not be written.")
    lost.add_metric((), snapshot.lost)
    unwritten = gauge("guardian_audit_unwritten", "Records that wait for the audit file.")
    unwritten.add_metric((), snapshot.unwritten)
    yield from (state, records, failures, lost, unwritten)
    if snapshot.syslog is not None:
        connected = gauge("guardian_syslog_connected", "1 while there is a connection to the syslog receiver.")
        connected.add_metric((), int(snapshot.syslog.connected))
        sent = counter("guardian_syslog_messages", "Messages handed to the connection.")
        sent.add_metric((), snapshot.syslog.sent)
        dropped = counter("guardian_syslog_dropped", "Messages that found the queue full.")
        dropped.add_metric((), snapshot.syslog.dropped)
        yield from (connected, sent, dropped)
