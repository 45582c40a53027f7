"""Rules and alerts as files; test_observed.py asks a running Prometheus."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.manuals import anchors

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of Debian's prometheus")

ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((FOLDER / "guardian.alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
CASES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "guardian.tests.yml").read_text())["tests"]

SECTIONS = sorted({rule["annotations"]["runbook_url"].rpartition("#")[2] for rule in ALERTS.values()})


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_rules_and_alerts_are_well_formed() -> None:
    promtool("check", "rules", "guardian.rules.yml", "guardian.alerts.yml")


@needs_promtool
def test_each_alert_fires_for_what_it_should_and_for_nothing_else() -> None:
    promtool("test", "rules", "guardian.tests.yml")


@needs_promtool
def test_the_example_is_a_configuration() -> None:
    promtool("check", "config", "prometheus.example.yml")


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_a_case_where_it_is_quiet_and_one_where_it_fires(name: str) -> None:
    (case,) = (case for case in CASES if case["name"] == name)
    quiet, fires = case["promql_expr_test"]
    assert quiet["expr"] == fires["expr"] == f'ALERTS{{alertname="{name}",alertstate="firing"}}'
    assert (quiet["exp_samples"], len(fires["exp_samples"])) == ([], 1)


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_what_it_means_and_where_to_read_on(name: str) -> None:
    rule = ALERTS[name]
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert path == "docs/runbook.md"
    assert anchor in anchors(RUNBOOK)


@pytest.mark.parametrize("anchor", SECTIONS)
def test_each_section_says_what_it_means_what_to_do_and_when_it_is_over(anchor: str) -> None:
    sections = re.split(r"^## ", RUNBOOK.read_text(), flags=re.M)
    (text,) = (text for text in sections if text.partition("\n")[0].lower() == anchor)
    assert "**Means.**" in text
    assert "**See.**" in text or "**See and do.**" in text
    assert "**Do.**" in text or "**See and do.**" in text
    assert "**Over**" in text
