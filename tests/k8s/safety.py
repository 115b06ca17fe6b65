"""What every pod must keep to: the restricted standard and more, limits, pinned images, a drain that has time."""

import re
from collections.abc import Iterator

from tests.k8s.render import Document, containers, get, named, pods

PINNED = re.compile(r"^[a-z0-9./-]+(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[0-9a-f]{64})?$")
LONGEST_DRAIN = 20  # seconds that serve/stage.py gives answers under way
MONITORING = {"endpoints", "selector", "targetLabels"}


def images(documents: list[Document]) -> Iterator[str]:
    """A digest, or a tag that an overlay sets; never `latest` and never none."""
    for owner, pod in pods(documents).items():
        for container in containers(pod):
            found = PINNED.fullmatch(container["image"])
            if not found or not (found[1] or found[2]) or found[1] == ":latest":
                yield f"{owner}: the image {container['image']} is not pinned"


def security(documents: list[Document]) -> Iterator[str]:
    """Non-root, no escalation, no capabilities, seccomp, a read-only root, no token."""
    for owner, pod in pods(documents).items():
        spec = pod["spec"]
        context = spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            yield f"{owner} may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{owner} has no seccomp profile"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{owner} is given a token for the cluster"
        if any("hostPath" in volume for volume in spec.get("volumes", [])) or spec.get("hostNetwork"):
            yield f"{owner} reaches into its host"
        for container in containers(pod):
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                yield f"{owner} may gain privileges"
            if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
                yield f"{owner} keeps capabilities"
            if own.get("readOnlyRootFilesystem") is not True:
                yield f"{owner} may write to its root"
            resources = container.get("resources", {})
            for kind in ("requests", "limits"):
                if not {"cpu", "memory"} <= resources.get(kind, {}).keys():
                    yield f"{owner} has no {kind} of cpu and memory"


def secrecy(documents: list[Document]) -> Iterator[str]:
    """No password in plain text: what is called so comes from a Secret."""
    for owner, pod in pods(documents).items():
        for container in containers(pod):
            for variable in container.get("env", []):
                if re.search(r"PASSWORD|SECRET|TOKEN|USERNAME", variable["name"]) and "value" in variable:
                    yield f"{owner}: {variable['name']} is in plain text"
    for document in documents:
        if document["kind"] == "ConfigMap" and re.search(r"(?im)password\s*[=:]\s*\S", str(document["data"])):
            yield f"{named(document)} holds a password"


def rollout(documents: list[Document]) -> Iterator[str]:
    """No request is lost: a new pod first, time to drain, a budget, room to scale."""
    deployment = get(documents, "Deployment/cats-dogs-api")
    if deployment["spec"]["strategy"]["rollingUpdate"].get("maxUnavailable") != 0:
        yield "Deployment/cats-dogs-api takes pods away before their successors are ready"
    pod = deployment["spec"]["template"]["spec"]
    pause = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if not pause or pod["terminationGracePeriodSeconds"] <= pause + LONGEST_DRAIN:
        yield "Deployment/cats-dogs-api is killed before it has drained"
    for needed in {"startupProbe", "livenessProbe", "readinessProbe"} - pod["containers"][0].keys():
        yield f"Deployment/cats-dogs-api has no {needed}"
    if not pod.get("topologySpreadConstraints"):
        yield "Deployment/cats-dogs-api may have all replicas on one node"
    kinds = {document["kind"] for document in documents}
    for kind in {"PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"} - kinds:
        yield f"there is no {kind}"
    policies = [document["spec"] for document in documents if document["kind"] == "NetworkPolicy"]
    if not any(policy["podSelector"] == {} and set(policy["policyTypes"]) == {"Ingress", "Egress"}
               and not policy.get("ingress") and not policy.get("egress") for policy in policies):
        yield "no NetworkPolicy denies what is not named"


def training(documents: list[Document]) -> Iterator[str]:
    """The specification's figures, and failures that are told apart."""
    for name in ("production-train-job", "distributed-train-job"):
        spec = get(documents, f"Job/{name}")["spec"]
        pod = spec["template"]["spec"]
        if pod["restartPolicy"] != "Never":
            yield f"Job/{name}: podFailurePolicy counts only with restartPolicy Never"
        actions = [rule["action"] for rule in spec.get("podFailurePolicy", {}).get("rules", [])]
        if actions != ["Ignore", "FailJob"]:
            yield f"Job/{name} does not tell an eviction from a refusal"
        if name == "production-train-job" and spec.get("backoffLimit") != 3:
            yield f"Job/{name} is tried {spec.get('backoffLimit')} times more, not three"
        shm = [volume for volume in pod["volumes"] if volume.get("emptyDir", {}).get("medium") == "Memory"]
        if [volume["emptyDir"].get("sizeLimit") for volume in shm] != ["1Gi"]:
            yield f"Job/{name} has no /dev/shm of 1 GB"


def monitoring(documents: list[Document]) -> Iterator[str]:
    """PodMonitoring is in no schema that we have: its fields, by the documentation of Google's managed Prometheus."""
    for document in documents:
        if document["kind"] != "PodMonitoring":
            continue
        if document["apiVersion"] != "monitoring.googleapis.com/v1" or document["spec"].keys() - MONITORING:
            yield f"{named(document)} has fields that PodMonitoring does not have"
        for endpoint in document["spec"]["endpoints"]:
            if not {"port", "interval"} <= endpoint.keys() <= {"port", "interval", "path", "timeout", "scheme"} \
                    or not re.fullmatch(r"\d+[sm]", str(endpoint.get("interval"))):
                yield f"{named(document)} has an endpoint without a port or an interval"
