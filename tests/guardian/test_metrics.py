from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from balancer.snapshot import Likeness, LikenessSnapshot, Outcome, ProxyState, Will
from guardian.metrics import render
from health.state import Health
from tests.support import operable

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

# The contract: name, type, labels.
PROMISED = {
    "guardian_requests_total": ("counter", {"group", "command", "outcome"}),
    "guardian_request_duration_seconds": ("histogram", {"group", "command"}),
    "guardian_proxy_duration_seconds": ("histogram", {"group"}),
    "guardian_device_requests_total": ("counter", {"group", "device", "outcome"}),
    "guardian_device_duration_seconds": ("histogram", {"group", "device"}),
    "guardian_device_outstanding": ("gauge", {"group", "device"}),
    "guardian_device_in_service": ("gauge", {"group", "device"}),
    "guardian_device_health": ("gauge", {"group", "device", "state"}),
    "guardian_device_connections": ("gauge", {"group", "device", "state"}),
    "guardian_device_likeness": ("gauge", {"group", "device", "state"}),
    "guardian_device_behind": ("gauge", {"group", "device"}),
    "guardian_likeness_checks_total": ("counter", {"group", "device", "result"}),
    "guardian_retries_total": ("counter", {"group", "reason"}),
    "guardian_failovers_total": ("counter", {"group"}),
    "guardian_ejections_total": ("counter", {"group", "device", "reason"}),
    "guardian_client_connections": ("gauge", {"listener", "kind"}),
    "guardian_tls_handshakes_total": ("counter", {"listener", "result"}),
    "guardian_certificate_expiry_timestamp_seconds": ("gauge", {"file"}),
    "guardian_writes_total": ("counter", {"group", "result"}),
    "guardian_config_reloads_total": ("counter", {"result"}),
}


# And what stands beside it.
FURTHER = {
    "guardian_queued": ("gauge", {"group"}),
    "guardian_queue_size": ("gauge", {"group"}),
    "guardian_queue_duration_seconds": ("histogram", {"group"}),
    "guardian_would_block_total": ("counter", {"group"}),
    "guardian_sessions": ("gauge", {"group"}),
    "guardian_logins_total": ("counter", {"group", "result"}),
    "guardian_pinned_clients": ("gauge", {"group"}),
    "guardian_writes_in_doubt": ("gauge", {"group"}),
    "guardian_retries_left": ("gauge", {"group"}),
    "guardian_retries_refused_total": ("counter", {"group"}),
    "guardian_device_throttled_total": ("counter", {"group", "device"}),
    "guardian_device_info": ("gauge", {"group", "device", "role", "address"}),
    "guardian_device_outstanding_limit": ("gauge", {"group", "device"}),
    "guardian_device_will": ("gauge", {"group", "device", "state"}),
    "guardian_device_last_ping_timestamp_seconds": ("gauge", {"group", "device"}),
    "guardian_device_ping_duration_seconds": ("gauge", {"group", "device"}),
    "guardian_client_connections_limit": ("gauge", {"listener"}),
    "guardian_tls_handshaking": ("gauge", {"listener"}),
    "guardian_crl_next_update_timestamp_seconds": ("gauge", {"file"}),
    "guardian_ready": ("gauge", set()),
    "guardian_state": ("gauge", {"state"}),
    "guardian_start_timestamp_seconds": ("gauge", set()),
    "guardian_loop_delay_seconds": ("histogram", set()),
    "guardian_log_lines_dropped_total": ("counter", set()),
    "guardian_audit_state": ("gauge", {"state"}),
    "guardian_audit_records_total": ("counter", set()),
    "guardian_audit_failures_total": ("counter", set()),
    "guardian_audit_lost_total": ("counter", set()),
    "guardian_audit_unwritten": ("gauge", set()),
    "guardian_syslog_connected": ("gauge", set()),
    "guardian_syslog_messages_total": ("counter", set()),
    "guardian_syslog_dropped_total": ("counter", set()),
    "guardian_build_info": ("info", {"version", "data_path"}),
    "guardian_worker_up": ("gauge", {"worker"}),
    "guardian_worker_restarts_total": ("counter", {"worker"}),
    "guardian_worker_connections": ("gauge", {"worker"}),
    "guardian_worker_outstanding": ("gauge", {"worker"}),
    "guardian_worker_cpu_seconds_total": ("counter", {"worker"}),
    "guardian_worker_resident_memory_bytes": ("gauge", {"worker"}),
}
WORKERS = (operable.worker(1), operable.worker(2, up=False, connections=0, restarts=3))
LICENSED = operable.proxy(operable.group("payments", operable.device(rate=2000.0)), workers=WORKERS)


def families(accept: str = "", snapshot: object = None) -> dict[str, Metric]:
    body, content_type = render(snapshot or operable.proxy(), "1.2.3", accept)  # type: ignore[arg-type]
    parse = parse_openmetrics if "openmetrics" in content_type else parse_text
    return {family.name: family for family in parse(body.decode())}


def value(found: dict[str, Metric], name: str, **labels: str) -> float:
    """The one sample of that name and exactly these labels."""
    samples = [s for family in found.values() for s in family.samples if s.name == name and s.labels == labels]
    assert len(samples) == 1, (name, labels, samples)
    return samples[0].value


@pytest.mark.parametrize("accept", ["", "text/plain; version=0.0.4", OPENMETRICS])
@pytest.mark.parametrize("name", PROMISED | FURTHER)
def test_every_promised_metric_has_its_type_and_labels(name: str, accept: str) -> None:
    kind, labels = (PROMISED | FURTHER)[name]
    if kind == "info" and "openmetrics" not in accept:
        kind = "gauge"  # the text format has no infos
    family = families(accept, LICENSED)[name.removesuffix("_info" if kind == "info" else "_total")]
    assert family.type == kind
    assert family.samples
    for sample in family.samples:
        assert set(sample.labels) - {"le"} == labels
        assert sample.name in {name, f"{name}_bucket", f"{name}_sum", f"{name}_count"}


def test_no_metric_is_without_a_promise_and_the_table_of_the_manual_has_them_all() -> None:
    exposed = {
        name + ("_total" if family.type == "counter" else "_info" if family.type == "info" else "")
        for name, family in families(OPENMETRICS, LICENSED).items()
        if not name.startswith("process_")
    }
    assert exposed == set(PROMISED | FURTHER)
    rows = re.findall(r"^\| `(guardian_\w+)` \| (\w+) \| (.*) \|$", OPERATIONS.read_text(), re.M)
    table = {name: (kind, labels_said(said)) for name, kind, said in rows}
    assert table == PROMISED | FURTHER


def labels_said(said: str) -> set[str]:
    """The labels in a cell of the table: before a colon, without the values in brackets."""
    names = re.sub(r"\([^)]*\)", "", said).partition(":")[0]
    return {name.strip() for name in names.split(",")} - {"none"}


def test_values_are_those_of_the_snapshot() -> None:
    found = families()
    for number, outcome in enumerate(Outcome, 1):
        labels = {"group": "payments", "command": "RSAS", "outcome": outcome.value}
        assert value(found, "guardian_requests_total", **labels) == number
    hsm1 = {"group": "payments", "device": "hsm1"}
    assert value(found, "guardian_device_requests_total", **hsm1, outcome="ok") == 90
    assert value(found, "guardian_device_outstanding", **hsm1) == 3
    assert value(found, "guardian_device_in_service", **hsm1) == 1
    assert value(found, "guardian_device_connections", **hsm1, state="private") == 1
    assert value(found, "guardian_retries_total", group="payments", reason="lost") == 3
    assert value(found, "guardian_failovers_total", group="payments") == 1
    assert value(found, "guardian_ejections_total", **hsm1, reason="failures") == 1
    assert value(found, "guardian_client_connections", listener="excrypt", kind="shared") == 10
    assert value(found, "guardian_tls_handshakes_total", listener="excrypt", result="refused") == 2
    file = "/etc/guardian/guardian.crt"
    assert value(found, "guardian_certificate_expiry_timestamp_seconds", file=file) == 1_800_000_000
    assert value(found, "guardian_config_reloads_total", result="ok") == 2
    assert value(found, "guardian_queued", group="payments") == 2
    assert value(found, "guardian_would_block_total", group="payments") == 7
    assert value(found, "guardian_retries_left", group="payments") == 9.5
    assert value(found, "guardian_retries_refused_total", group="payments") == 4
    assert value(found, "guardian_device_last_ping_timestamp_seconds", **hsm1) == 1_790_000_100
    assert value(found, "guardian_device_info", **hsm1, role="primary", address="10.0.8.30:9100") == 1
    assert [value(found, "guardian_device_will", **hsm1, state=will.value) for will in Will] == [1, 0, 0]
    assert value(found, "guardian_log_lines_dropped_total") == 6
    assert value(found, "guardian_audit_state", state="writing") == 1
    assert value(found, "guardian_audit_records_total") == 41
    assert value(found, "guardian_audit_failures_total") == 3
    assert value(found, "guardian_audit_lost_total") == 2
    assert value(found, "guardian_audit_unwritten") == 1
    assert value(found, "guardian_syslog_connected") == 1
    assert value(found, "guardian_syslog_messages_total") == 40
    assert value(found, "guardian_syslog_dropped_total") == 4
    lists = families()["guardian_crl_next_update_timestamp_seconds"].samples
    assert [(sample.labels["file"], sample.value) for sample in lists] == [("/etc/guardian/ca.crl", 1_795_000_000)]


@pytest.mark.parametrize("state", ProxyState)
def test_readiness_is_what_readyz_says(state: ProxyState) -> None:
    found = families(snapshot=operable.proxy(state=state))
    assert value(found, "guardian_ready") == (state is ProxyState.SERVING)
    assert value(found, "guardian_state", state=state.value) == 1
    nobody = operable.proxy(operable.group("payments", operable.device(in_service=False)))
    assert value(families(snapshot=nobody), "guardian_ready") == 0


def test_likeness_is_that_of_the_snapshot() -> None:
    likeness = LikenessSnapshot(state=Likeness.UNLIKE, results={"alike": 4, "unlike": 1})
    shown = operable.proxy(operable.group("payments", operable.device(likeness=likeness, behind=True)))
    found, hsm1 = families(snapshot=shown), {"group": "payments", "device": "hsm1"}
    assert [value(found, "guardian_device_likeness", **hsm1, state=state.value) for state in Likeness] == [0, 1, 0]
    assert value(found, "guardian_device_behind", **hsm1) == 1
    results = ("alike", "unlike", "unknown", "failed")
    assert [value(found, "guardian_likeness_checks_total", **hsm1, result=each) for each in results] == [4, 1, 0, 0]


def test_only_a_device_with_a_licence_shows_how_often_it_was_used_up() -> None:
    snapshot = operable.proxy(
        operable.group("payments", operable.device(rate=2000.0, throttled=4), operable.device("b"))
    )
    samples = families(snapshot=snapshot)["guardian_device_throttled"].samples
    assert [(sample.labels["device"], sample.value) for sample in samples if sample.name.endswith("_total")] == [
        ("hsm1", 4)
    ]


def test_a_first_event_is_a_step_from_zero() -> None:
    found = families()
    assert value(found, "guardian_config_reloads_total", result="failed") == 0
    assert value(found, "guardian_retries_total", group="payments", reason="timeout") == 0
    assert value(found, "guardian_device_requests_total", group="payments", device="hsm1", outcome="bad_answer") == 0
    assert value(found, "guardian_tls_handshakes_total", listener="excrypt", result="crowded") == 0


def test_workers_are_shown_where_there_are_several() -> None:
    found = families(snapshot=LICENSED)
    assert value(found, "guardian_worker_up", worker="1") == 1
    assert value(found, "guardian_worker_up", worker="2") == 0
    assert value(found, "guardian_worker_restarts_total", worker="2") == 3
    assert value(found, "guardian_worker_connections", worker="1") == 13
    assert not [name for name in families() if name.startswith("guardian_worker")]


@pytest.mark.parametrize("health", Health)
def test_each_health_is_a_series_and_one_of_them_is_1(health: Health) -> None:
    snapshot = operable.proxy(operable.group("payments", operable.device(health=health)))
    samples = families(snapshot=snapshot)["guardian_device_health"].samples
    assert {sample.labels["state"]: sample.value for sample in samples} == {
        state.value: float(state is health) for state in Health
    }


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_buckets_hold_all_values_up_to_their_bound(accept: str) -> None:
    family = families(accept)["guardian_device_duration_seconds"]
    samples = [sample for sample in family.samples if sample.labels["device"] == "hsm1"]
    buckets = {float(s.labels["le"]): s.value for s in samples if s.name.endswith("_bucket")}
    assert buckets == {0.0005: 1, 0.001: 1, 0.01: 2, 0.1: 3, 1.0: 3, float("inf"): 4}
    assert {s.name: s.value for s in samples if "le" not in s.labels} == {
        "guardian_device_duration_seconds_sum": pytest.approx(5.0254),
        "guardian_device_duration_seconds_count": 4,
    }


def test_what_clients_choose_makes_no_series() -> None:
    body, _ = render(operable.proxy(), "1.2.3", "")
    assert b"ZZZZ" not in body
    assert value(families(), "guardian_pinned_clients", group="payments") == 3


@pytest.mark.parametrize("name", ['with "quotes"', "back\\slash", "line\nbreak", "ünï"])
@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_odd_file_names_survive(name: str, accept: str) -> None:
    found = families(accept, operable.proxy(certificates={name: 1.0}))
    assert value(found, "guardian_certificate_expiry_timestamp_seconds", file=name) == 1.0


ODD_ACCEPTS = (
    "application/openmetrics-text; version=x",
    "application/openmetrics-text; version=1.x.0",
    "text/plain; version=;escaping=nonsense",
    "*/*;q=zero, ,;;=,application/openmetrics-text;version",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
)


@pytest.mark.parametrize("accept", ODD_ACCEPTS)
def test_no_accept_header_breaks_a_scrape(accept: str) -> None:
    assert "guardian_device_health" in families(accept)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing() -> None:
    body, _ = render(operable.proxy(), "1.2.3", "")
    checked = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
