"""The Kustomize files, rendered as `kubectl apply -k` does, against the schemas and against Guardian itself."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from config.loader import load
from config.model import Config
from guardian.pki import make_pki

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
KUBECTL = shutil.which("kubectl")
BASE, PRODUCTION = "base", "overlays/production"
LABELS = {"app.kubernetes.io/name": "guardian"}
MOUNTED = Path("/etc/guardian")
VERSIONS = ("1.30", "1.34", "1.37")
# The part of the operator's definition that is used here; kubernetes-validate has the core's kinds only.
_KEY = {
    "type": "object", "additionalProperties": False, "required": ["name", "key"],
    "properties": {"name": {"type": "string"}, "key": {"type": "string"}},
}  # fmt: skip
SERVICE_MONITOR = {
    "type": "object", "additionalProperties": False, "required": ["selector", "endpoints"],
    "properties": {
        "selector": {"type": "object", "required": ["matchLabels"], "additionalProperties": False,
                     "properties": {"matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}}},
        "endpoints": {"type": "array", "minItems": 1, "items": {
            "type": "object", "additionalProperties": False,
            "properties": {
                "port": {"type": "string"}, "path": {"type": "string"}, "scheme": {"enum": ["http", "https"]},
                "interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"},
                "authorization": {"type": "object", "additionalProperties": False,
                                  "properties": {"type": {"type": "string"}, "credentials": _KEY}},
                "tlsConfig": {"type": "object", "additionalProperties": False, "properties": {
                    "serverName": {"type": "string"},
                    "ca": {"type": "object", "additionalProperties": False, "properties": {"secret": _KEY}}}},
            }}},
    },
}  # fmt: skip

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is missing (1.27 or later)")


@functools.cache
def rendered(name: str) -> str:
    assert KUBECTL is not None
    return subprocess.run(
        [KUBECTL, "kustomize", str(FOLDER / name)], capture_output=True, text=True, check=True, timeout=60
    ).stdout


@pytest.fixture(params=[BASE, PRODUCTION])
def documents(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """What reaches the cluster."""
    return list(yaml.safe_load_all(rendered(request.param)))


def one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


def pod(documents: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = one(documents, "Deployment")["spec"]["template"]["spec"]
    return found


@pytest.fixture
def configuration(documents: list[dict[str, Any]], tmp_path: Path) -> Config:
    """The pod's configuration, read from a folder with what the pod mounts and nothing else."""
    pki = make_pki(tmp_path / "pki", algorithm="ecdsa")
    content = {
        "guardian.crt": pki.server.certificate.read_text(),
        "guardian.key": pki.server.key.read_text(),
        "guardian-client.crt": pki.proxy_client.certificate.read_text(),
        "guardian-client.key": pki.proxy_client.key.read_text(),
        "ca.crt": pki.ca.read_text(),
        "token": "a-token-of-32-characters-at-least",
    }
    (volume,) = pod(documents)["volumes"]
    (container,) = pod(documents)["containers"]
    assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": str(MOUNTED), "readOnly": True}]
    mounted = tmp_path / "mounted"
    for source in volume["projected"]["sources"]:
        if "configMap" in source:
            found = one(documents, "ConfigMap")
            assert found["metadata"]["name"] == source["configMap"]["name"]
            files = found["data"]
        else:
            files = {item["path"]: content[item["key"]] for item in source["secret"]["items"]}
        for name, text in files.items():
            path = mounted / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(volume["projected"]["defaultMode"])
    command, path = container["args"]
    assert command == "run"
    loaded = load(mounted / Path(path).relative_to(MOUNTED), read_files=True)
    assert loaded.problems == ()
    assert loaded.config is not None
    return loaded.config


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_is_strictly_what_its_schema_says(documents: list[dict[str, Any]], version: str) -> None:
    for document in documents:
        if document["kind"] == "ServiceMonitor":
            jsonschema.validate(document["spec"], SERVICE_MONITOR)
        else:
            kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_refuse_what_is_misspelt(documents: list[dict[str, Any]]) -> None:
    wrong = json.loads(json.dumps(one(documents, "Deployment")).replace('"readinessProbe"', '"readynessProbe"'))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_configuration_finds_all_it_names_in_the_pod(configuration: Config) -> None:
    assert [group.name for group in configuration.groups] == ["payments"]


def test_pods_that_do_not_know_of_each_other_write_nothing(configuration: Config) -> None:
    assert {group.writes.mode.value for group in configuration.groups if group.writes.mode} == {"reject"}


def test_ports_are_those_that_guardian_listens_on(documents: list[dict[str, Any]], configuration: Config) -> None:
    (container,) = pod(documents)["containers"]
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert named == {
        "excrypt": configuration.listeners[0].bind.port,
        "admin": configuration.admin.bind.port,
    }
    for document in documents:
        if document["kind"] == "Service":
            for port in document["spec"]["ports"]:
                assert named[port["targetPort"]] == port["port"]
    (policy,) = (document["spec"] for document in documents if document["kind"] == "NetworkPolicy")
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == set(named)


def test_devices_may_be_reached(documents: list[dict[str, Any]], configuration: Config) -> None:
    rules = [rule for rule in one(documents, "NetworkPolicy")["spec"]["egress"] if "ipBlock" in rule["to"][0]]
    for device in configuration.groups[0].devices:
        assert any(
            ip_address(device.address.host) in ip_network(peer["ipBlock"]["cidr"])
            and device.address.port in [port["port"] for port in rule["ports"]]
            for rule in rules
            for peer in rule["to"]
        )


def test_selectors_find_the_pods_and_the_policy_its_peers(documents: list[dict[str, Any]]) -> None:
    deployment, policy = one(documents, "Deployment")["spec"], one(documents, "NetworkPolicy")["spec"]
    chosen = [
        deployment["selector"]["matchLabels"],
        policy["podSelector"]["matchLabels"],
        one(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod(documents)["topologySpreadConstraints"]),
        *(document["spec"]["selector"] for document in documents if document["kind"] == "Service"),
    ]
    assert all(labels == LABELS for labels in chosen)
    assert deployment["template"]["metadata"]["labels"].items() >= LABELS.items()
    peers = [
        peer.get("podSelector", {}).get("matchLabels", {})
        for rule in (*policy["ingress"], *policy["egress"])
        for peer in rule.get("from", rule.get("to"))
    ]
    assert not any(LABELS.items() & peer.items() for peer in peers), "kustomize has put our label on somebody else"


def test_probes_ask_what_the_admin_port_answers_without_a_token(
    documents: list[dict[str, Any]], configuration: Config
) -> None:
    (container,) = pod(documents)["containers"]
    asked = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: get["path"] for name, get in asked.items()} == {
        "startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz",
    }  # fmt: skip
    assert {get["port"] for get in asked.values()} == {"admin"}
    # The kubelet shows no certificate.
    assert configuration.admin.tls is not None
    assert not configuration.admin.tls.ca
    assert {get["scheme"] for get in asked.values()} == {"HTTPS"}


def test_a_pod_may_finish_before_it_is_killed(documents: list[dict[str, Any]], configuration: Config) -> None:
    shutdown = configuration.shutdown
    assert pod(documents)["terminationGracePeriodSeconds"] >= shutdown.drain_notice + shutdown.timeout + 5


def test_a_pod_that_ends_serves_until_it_is_seen_not_ready(
    documents: list[dict[str, Any]], configuration: Config
) -> None:
    (container,) = pod(documents)["containers"]
    probe = container["readinessProbe"]
    assert configuration.shutdown.drain_notice > probe["periodSeconds"] * probe["failureThreshold"]


def test_the_container_may_do_nothing(documents: list[dict[str, Any]]) -> None:
    """The standard `restricted`, and a root that cannot be written."""
    spec = pod(documents)
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] >= 10000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip


def test_a_rollout_and_a_drained_node_leave_pods_that_serve(documents: list[dict[str, Any]]) -> None:
    deployment = one(documents, "Deployment")["spec"]
    assert deployment["replicas"] >= 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert one(documents, "PodDisruptionBudget")["spec"]["maxUnavailable"] < deployment["replicas"]


def test_prometheus_finds_every_pod_and_may_ask() -> None:
    documents = list(yaml.safe_load_all(rendered(PRODUCTION)))
    spec = one(documents, "ServiceMonitor")["spec"]
    (service,) = (
        document
        for document in documents
        if document["kind"] == "Service"
        and document["metadata"]["labels"].items() >= spec["selector"]["matchLabels"].items()
    )
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert service["spec"]["publishNotReadyAddresses"]
    secrets = {
        source["secret"]["name"]: [item["key"] for item in source["secret"]["items"]]
        for source in pod(documents)["volumes"][0]["projected"]["sources"]
        if "secret" in source
    }
    for wanted in (endpoint["authorization"]["credentials"], endpoint["tlsConfig"]["ca"]["secret"]):
        assert wanted["key"] in secrets[wanted["name"]]
