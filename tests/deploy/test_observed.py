"""Rules, alerts and the dashboard, asked of a real Prometheus that scrapes a real proxy."""

from __future__ import annotations

import json
import math
import re
import shutil
import time
from collections.abc import Iterator

import pytest
import yaml

from guardian.pki import PkiFiles, make_pki
from tests.support.observed import DEPLOY, RULES, Prometheus, observed

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's prometheus")

DASHBOARD = json.loads((DEPLOY / "grafana" / "guardian.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
_RULES = [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
RECORDED = [rule["record"] for rule in _RULES if "record" in rule]
ALERTS = [rule for rule in _RULES if "alert" in rule]
PATIENCE = 15.0  # seconds


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("observed")
    names = ("hsm1", "hsm2", "hsm3", "hsm4")
    pki: PkiFiles = make_pki(
        folder / "pki",
        algorithm="ecdsa",
        clients=("vault-1", "vault-2", "mallory"),
        devices=dict.fromkeys(names, ("127.0.0.1",)),
        crl=True,
    )
    with observed(pki, folder) as running:
        yield running


def filled_in(query: str) -> str:
    """As Grafana does it, with everything chosen."""
    for name, value in (("__rate_interval", "1m"), ("instance", ".+"), ("group", ".+"), ("device", ".+")):
        query = query.replace(f"${name}", value)
    assert "$" not in query, query
    return query


def values(prometheus: Prometheus, query: str) -> list[float]:
    """What it gives now, without what is no number."""
    found = [float(sample["value"][1]) for sample in prometheus.instant(query)]
    return [value for value in found if not math.isnan(value)]


def without_data(prometheus: Prometheus, queries: dict[str, str]) -> dict[str, str]:
    """Those that give nothing, after some patience with all of them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        queries = {name: query for name, query in queries.items() if not values(prometheus, query)}
        if not queries or time.monotonic() > deadline:
            return queries
        time.sleep(0.2)


def test_every_query_of_the_dashboard_returns_data(prometheus: Prometheus) -> None:
    queries = {
        f"{panel['title']} {each['refId']}": filled_in(each["expr"]) for panel in PANELS for each in panel["targets"]
    }
    assert len(queries) == sum(len(panel["targets"]) for panel in PANELS) > 50
    assert without_data(prometheus, queries) == {}


def test_every_variable_has_choices(prometheus: Prometheus) -> None:
    choices = {}
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert found
            choices[variable["name"]] = prometheus.get(f"label/{found[2]}/values", **{"match[]": filled_in(found[1])})
    assert len(choices.pop("instance")) == 1
    assert choices == {"group": ["payments"], "device": ["hsm1", "hsm2", "hsm3", "hsm4"]}


def test_every_recording_rule_records(prometheus: Prometheus) -> None:
    assert without_data(prometheus, {record: record for record in RECORDED}) == {}


def test_every_metric_of_an_alert_is_there(prometheus: Prometheus) -> None:
    names = {
        name
        for rule in ALERTS
        for name in re.findall(r"\b(?:guardian|process)_\w+|\b\w+:guardian_\w+:\w+", rule["expr"])
    }
    names -= {"guardian_worker_up", "guardian_worker_restarts_total"}  # there is one process here
    assert len(names) > 25
    assert without_data(prometheus, {name: f"last_over_time({name}[1m])" for name in names}) == {}


def test_rules_and_alerts_are_evaluated_without_a_fault(prometheus: Prometheus) -> None:
    groups = prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(_RULES)
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] == "err"] == []


def test_what_happened_raises_its_alerts(prometheus: Prometheus) -> None:
    """A device was killed, a backup serves for it, and clients misbehaved, which is no error of ours."""
    expected = {"GuardianDeviceDown", "GuardianOnBackups", "GuardianClientsRefused", "GuardianLoginsLimited"}
    deadline = time.monotonic() + PATIENCE
    raised: set[str] = set()
    while not expected <= raised and time.monotonic() < deadline:
        time.sleep(0.2)
        raised = {alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"]}
    assert expected <= raised
    assert not raised & {"GuardianErrorsFast", "GuardianErrorsSlow", "GuardianNotReady", "GuardianCertificateEnds"}


def test_a_slow_bucket_leads_to_a_client_and_a_device(prometheus: Prometheus) -> None:
    now = time.time()
    found = prometheus.get(
        "query_exemplars",
        query="guardian_request_duration_seconds_bucket",
        start=str(now - 300),
        end=str(now + 1),
    )
    labels = [exemplar["labels"] for series in found for exemplar in series["exemplars"]]
    slow = [
        exemplar
        for series in found
        for exemplar in series["exemplars"]
        if float(exemplar["value"]) > 0.02 and series["seriesLabels"]["command"] in ("ECHO", "RAND")
    ]
    assert {each["client"] for each in labels} >= {"vault-1", "vault-2"}
    assert {each["labels"]["device"] for each in slow} >= {"hsm3"}
    assert all(int(each["completion"]) > 0 for each in labels)


def test_a_refusal_leads_to_who_was_refused(prometheus: Prometheus) -> None:
    now = time.time()
    query = 'guardian_requests_total{outcome="blocked"}'
    found = prometheus.get("query_exemplars", query=query, start=str(now - 300), end=str(now + 1))
    assert {exemplar["labels"]["client"] for series in found for exemplar in series["exemplars"]} == {"mallory"}
