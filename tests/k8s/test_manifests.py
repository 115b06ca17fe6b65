"""Every overlay passes every check, and every check finds the fault that it is there for."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.__main__ import CHECKS, faults
from tests.k8s.render import OVERLAYS, Document, get, render
from tests.servers import ROOT

Plant = Callable[[list[Document]], Any]


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Document]]:
    folder = tmp_path_factory.mktemp("manifests")
    return {overlay: render(overlay, folder) for overlay in OVERLAYS}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_has_no_fault(rendered: dict[str, list[Document]], overlay: str) -> None:
    assert faults(rendered[overlay]) == []


def api(documents: list[Document]) -> Document:
    return container(documents, "Deployment/cats-dogs-api")


def pod(documents: list[Document], owner: str) -> Document:
    spec = get(documents, owner)["spec"]
    found: Document = (spec["jobTemplate"]["spec"] if owner.startswith("CronJob") else spec)["template"]["spec"]
    return found


def container(documents: list[Document], owner: str) -> Document:
    found: Document = pod(documents, owner)["containers"][0]
    return found


def variable(documents: list[Document], owner: str, name: str) -> Document:
    (found,) = (each for each in container(documents, owner)["env"] if each["name"] == name)
    assert isinstance(found, dict)
    return found


def argument(documents: list[Document], owner: str, old: str, new: str) -> None:
    words = container(documents, owner)["args"]
    words[words.index(old)] = new


FAULTS: dict[str, tuple[Plant, str]] = {
    "unknown-field": (lambda d: api(d).update(imagePullPolcy="Always"), "imagePullPolcy"),
    "wrong-type": (lambda d: get(d, "Deployment/cats-dogs-api")["spec"].update(replicas="two"), "replicas"),
    "service-selector": (lambda d: get(d, "Service/cats-dogs-api")["spec"]["selector"].update(
        {"app.kubernetes.io/name": "cat-dog-api"}), "Service/cats-dogs-api selects the pods of nobody"),
    "service-selects-the-candidate": (lambda d: get(d, "Service/cats-dogs-api")["spec"].update(
        selector={"app.kubernetes.io/component": "api"}), "Service/cats-dogs-api selects the pods of ["),
    "deployment-selector": (lambda d: get(d, "Deployment/mlflow")["spec"]["selector"]["matchLabels"].update(
        {"app.kubernetes.io/name": "ml-flow"}), "Deployment/mlflow selects the pods of nobody"),
    "budget-selector": (lambda d: get(d, "PodDisruptionBudget/cats-dogs-api")["spec"]["selector"].update(
        matchLabels={"app": "x"}), "PodDisruptionBudget/cats-dogs-api selects nobody"),
    "policy-selector": (lambda d: get(d, "NetworkPolicy/api")["spec"]["podSelector"].update(
        matchLabels={"app": "x"}), "NetworkPolicy/api selects nobody"),
    "policy-peer": (lambda d: get(d, "NetworkPolicy/to-mlflow")["spec"]["egress"][0]["to"][0]["podSelector"].update(
        matchLabels={"app": "x"}), "NetworkPolicy/to-mlflow selects nobody"),
    "policy-port": (lambda d: get(d, "NetworkPolicy/mlflow")["spec"]["ingress"][0]["ports"][0].update(port=5001),
                    "opens port 5001"),
    "scaler-target": (lambda d: get(d, "HorizontalPodAutoscaler/cats-dogs-api")["spec"]["scaleTargetRef"].update(
        name="api"), "scales api, which is not there"),
    "spread": (lambda d: pod(d, "Deployment/cats-dogs-api")["topologySpreadConstraints"][0]["labelSelector"].update(
        matchLabels={"app.kubernetes.io/name": "mlflow"}), "spread by labels that it does not carry"),
    "service-port": (lambda d: get(d, "Service/mlflow-service")["spec"]["ports"][0].update(targetPort=5001),
                     "Service/mlflow-service sends to port 5001"),
    "probe-port": (lambda d: api(d)["livenessProbe"]["httpGet"].update(port=8081), "livenessProbe asks port 8081"),
    "probe-path": (lambda d: api(d)["readinessProbe"]["httpGet"].update(path="/ready"),
                   "readinessProbe asks for /ready"),
    "liveness-is-readiness": (lambda d: api(d)["livenessProbe"]["httpGet"].update(path="/readyz"),
                              "restarted for not being ready"),
    "no-startup-probe": (lambda d: api(d).pop("startupProbe"), "has no startupProbe"),
    "no-readiness-probe": (lambda d: api(d).pop("readinessProbe"), "has no readinessProbe"),
    "no-spread": (lambda d: pod(d, "Deployment/cats-dogs-api").pop("topologySpreadConstraints"),
                  "all replicas on one node"),
    "backoff": (lambda d: get(d, "Job/production-train-job")["spec"].pop("backoffLimit"), "is tried None times more"),
    "monitor-path": (lambda d: get(d, "PodMonitoring/cats-dogs-api")["spec"]["endpoints"][0].update(path="/metrix"),
                     "reads /metrix"),
    "monitor-port": (lambda d: get(d, "PodMonitoring/cats-dogs-api")["spec"]["endpoints"][0].update(port="web"),
                     "reads port web"),
    "monitor-field": (lambda d: get(d, "PodMonitoring/cats-dogs-api")["spec"].update(podMetricsEndpoints=[]),
                      "fields that PodMonitoring does not have"),
    "account": (lambda d: pod(d, "Job/production-train-job").update(serviceAccountName="trainer"),
                "runs as trainer, which is not there"),
    "claim": (lambda d: pod(d, "Deployment/mlflow")["volumes"][0]["persistentVolumeClaim"].update(claimName="ml"),
              "PersistentVolumeClaim ml, which is not there"),
    "config-map": (lambda d: pod(d, "Deployment/mlflow")["volumes"][1]["configMap"].update(name="auth"),
                   "ConfigMap auth, which is not there"),
    "mount": (lambda d: api(d)["volumeMounts"][0].update(name="temp"), "mounts temp, which is no volume"),
    "config-key": (lambda d: variable(d, "Job/production-train-job", "CATSDOGS_BUCKET")["valueFrom"][
        "configMapKeyRef"].update(key="BUCKETS"), "is BUCKETS of ConfigMap/catsdogs, which is not there"),
    "secret-name": (lambda d: variable(d, "Deployment/mlflow", "MLFLOW_AUTH_ADMIN_PASSWORD")["valueFrom"][
        "secretKeyRef"].update(name="mlflow"), "the Secret mlflow, which the bootstrap does not make"),
    "secret-key": (lambda d: variable(d, "Job/production-train-job", "MLFLOW_TRACKING_PASSWORD")["valueFrom"][
        "secretKeyRef"].update(key="pass"), "is pass of the Secret mlflow-auth"),
    "namespace": (lambda d: get(d, "Service/mlflow-service")["metadata"].update(namespace="default"),
                  "Service/mlflow-service lies in the namespace default"),
    "pod-security": (lambda d: get(d, "Namespace/cats-dogs")["metadata"]["labels"].pop(
        "pod-security.kubernetes.io/enforce"), "does not enforce restricted pods"),
    "secret-in-a-file": (lambda d: d.append({"apiVersion": "v1", "kind": "Secret", "metadata": {
        "name": "s", "namespace": "cats-dogs"}, "stringData": {"password": "x"}}), "Secret/s is in a file"),
    "environment-ours": (lambda d: variable(d, "Deployment/cats-dogs-api", "MODEL_PATH").update(name="MODELPATH"),
                         "is given MODELPATH, which nothing reads"),
    "environment-mlflow": (lambda d: variable(d, "Deployment/mlflow", "MLFLOW_AUTH_CONFIG_PATH").update(
        name="MLFLOW_AUTH_CONFIG"), "is given MLFLOW_AUTH_CONFIG, which nothing reads"),
    "expansion": (lambda d: argument(
        d, "Deployment/mlflow", "--artifacts-destination=$(CATSDOGS_BUCKET)/mlflow-artifacts",
        "--artifacts-destination=$(BUCKET)/mlflow-artifacts"), "uses $(BUCKET)"),
    "command": (lambda d: argument(d, "Job/production-train-job", "job", "jobs"), "there is no command 'jobs'"),
    "flag": (lambda d: argument(d, "Job/production-train-job", "--unpacked", "--unpack"), "Job/production-train-job: "),
    "flag-value": (lambda d: argument(d, "Job/production-train-job", "--model-variant=fast", "--model-variant=vit"),
                   "Job/production-train-job: "),
    "backup-flag": (lambda d: argument(d, "CronJob/mlflow-backup", "--keep=30", "--keep=none"),
                    "CronJob/mlflow-backup: "),
    "mlflow-flag": (lambda d: argument(d, "Deployment/mlflow", "--workers=1", "--worker=1"), "mlflow server: "),
    "meeting": (lambda d: argument(d, "Job/distributed-train-job",
                                   "--meet=distributed-train-job-0.distributed-train-job:29500", "--meet=first"),
                "Job/distributed-train-job: "),
    "nodes": (lambda d: get(d, "Job/distributed-train-job")["spec"].update(completions=3),
              "not what completions and parallelism say"),
    "candidate-differs": (lambda d: container(d, "Deployment/cats-dogs-api-candidate").update(
        imagePullPolicy="Always"), "another pod than the public one"),
    "image-latest": (lambda d: api(d).update(image="registry.example/cats-dogs-api:latest"), "is not pinned"),
    "image-bare": (lambda d: container(d, "Job/production-train-job").update(image="catsdogs-trainer"),
                   "is not pinned"),
    "root": (lambda d: pod(d, "Deployment/mlflow")["securityContext"].update(runAsNonRoot=False), "may run as root"),
    "seccomp": (lambda d: pod(d, "Deployment/mlflow")["securityContext"].pop("seccompProfile"), "no seccomp profile"),
    "token": (lambda d: pod(d, "CronJob/mlflow-backup").pop("automountServiceAccountToken"), "given a token"),
    "escalation": (lambda d: api(d)["securityContext"].pop("allowPrivilegeEscalation"), "may gain privileges"),
    "capabilities": (lambda d: api(d)["securityContext"].update(capabilities={"drop": ["NET_RAW"]}),
                     "keeps capabilities"),
    "writable-root": (lambda d: api(d)["securityContext"].update(readOnlyRootFilesystem=False), "write to its root"),
    "host-path": (lambda d: pod(d, "Deployment/mlflow")["volumes"].append(
        {"name": "host", "hostPath": {"path": "/"}}), "reaches into its host"),
    "limits": (lambda d: api(d)["resources"].pop("limits"), "has no limits of cpu and memory"),
    "plain-password": (lambda d: container(d, "Job/production-train-job")["env"].append(
        {"name": "MLFLOW_TRACKING_PASSWORD", "value": "x"}), "MLFLOW_TRACKING_PASSWORD is in plain text"),
    "config-password": (lambda d: get(d, "ConfigMap/mlflow-auth-config")["data"].update(
        {"basic_auth.ini": "[mlflow]\nadmin_password = x"}), "holds a password"),
    "unavailable": (lambda d: get(d, "Deployment/cats-dogs-api")["spec"]["strategy"]["rollingUpdate"].update(
        maxUnavailable=1), "before their successors are ready"),
    "drain": (lambda d: pod(d, "Deployment/cats-dogs-api").update(terminationGracePeriodSeconds=30),
              "killed before it has drained"),
    "no-budget": (lambda d: d.remove(get(d, "PodDisruptionBudget/cats-dogs-api")), "there is no PodDisruptionBudget"),
    "no-deny": (lambda d: d.remove(get(d, "NetworkPolicy/default-deny")), "no NetworkPolicy denies"),
    "retry-of-a-refusal": (lambda d: get(d, "Job/production-train-job")["spec"]["podFailurePolicy"]["rules"].pop(),
                           "does not tell an eviction from a refusal"),
    "shm": (lambda d: [volume for volume in pod(d, "Job/production-train-job")["volumes"] if volume["name"] == "shm"][
        0].update(emptyDir={}), "has no /dev/shm of 1 GB"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(rendered: dict[str, list[Document]], fault: str) -> None:
    documents = copy.deepcopy(rendered["gke"])
    plant, words = FAULTS[fault]
    plant(documents)
    # the schemas take a second, and find two of these only
    found = faults(documents, CHECKS if fault in ("unknown-field", "wrong-type") else CHECKS[1:])
    assert any(words in each for each in found), found


def test_the_postgres_overlay_asks_for_its_own_secret(rendered: dict[str, list[Document]]) -> None:
    documents = rendered["postgres"]
    assert variable(documents, "Deployment/mlflow", "MLFLOW_BACKEND_STORE_URI")["valueFrom"]["secretKeyRef"] == {
        "name": "mlflow-database", "key": "uri"}
    assert not [word for word in container(documents, "Deployment/mlflow")["args"] if "backend-store-uri" in word]


def test_what_the_specification_asks_for_is_there(rendered: dict[str, list[Document]]) -> None:
    documents = rendered["gke"]
    requests = container(documents, "Job/production-train-job")["resources"]["requests"]
    assert (requests["cpu"], requests["memory"]) == ("2500m", "10Gi")
    deployment, service = get(documents, "Deployment/cats-dogs-api"), get(documents, "Service/cats-dogs-api")
    assert deployment["spec"]["replicas"] == 2 and service["spec"]["type"] == "LoadBalancer"
    mlflow = get(documents, "Service/mlflow-service")["spec"]
    assert mlflow["type"] == "LoadBalancer" and mlflow["loadBalancerSourceRanges"] == ["192.0.2.0/24"]
    assert mlflow["ports"][0]["port"] == 5000
    assert get(rendered["local"], "Service/mlflow-service")["spec"]["type"] == "ClusterIP"
    for role in ("api", "trainer", "mlflow"):
        account = get(documents, f"ServiceAccount/catsdogs-{role}")
        assert account["metadata"]["annotations"]["iam.gke.io/gcp-service-account"] == (
            f"catsdogs-{role}@example-project.iam.gserviceaccount.com")
    assert pod(documents, "Job/production-train-job")["tolerations"][0]["key"] == "cloud.google.com/gke-spot"
    assert "tolerations" not in pod(documents, "Job/distributed-train-job")
    tracking = variable(documents, "Job/production-train-job", "MLFLOW_TRACKING_URI")
    assert tracking["value"] == "http://mlflow-service:5000"


@pytest.mark.parametrize("name", ["deployment", "production-train-job", "mlflow", "distributed-train-job"])
def test_the_specifications_names_lead_to_the_base(name: str) -> None:
    path = ROOT / "k8s" / f"{name}.yaml"
    assert path.resolve() == (ROOT / "k8s/base" / f"{name}.yaml").resolve()
    assert f"{name}.yaml" in yaml.safe_load((ROOT / "k8s/base/kustomization.yaml").read_text())["resources"]


def test_nothing_of_a_person_is_committed() -> None:
    assert "cluster.env" in (ROOT / ".gitignore").read_text()
    assert (ROOT / "k8s/overlays/gke/cluster.env.example").exists()
    assert "example" in (ROOT / "k8s/overlays/gke/cluster.env.example").read_text()


def test_every_manifest_is_reached_by_an_overlay() -> None:
    """A file that no kustomization names is checked by nobody."""
    for path in sorted((ROOT / "k8s").rglob("*.yaml")):
        if path.is_symlink() or path.name == "kustomization.yaml" or path.parent.name == "ray":
            continue
        text = (path.parent / "kustomization.yaml").read_text()
        assert path.name in text, f"{path.relative_to(ROOT)} is named by no kustomization"


def test_a_broken_overlay_is_said_with_kustomizes_words(tmp_path: Path) -> None:
    render("local", tmp_path)
    (tmp_path / "k8s/overlays/local/bucket.yaml").unlink()
    with pytest.raises(AssertionError, match="kustomize cannot render local: .*bucket.yaml"):
        render("local", tmp_path)
