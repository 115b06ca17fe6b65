"""What the documents of an overlay say of each other: selectors, ports, accounts, Secrets, volumes, namespaces."""

import re
from collections.abc import Iterator

from tests.k8s.render import Document, containers, get, named, pods
from tests.servers import ROOT

NAMESPACE = "cats-dogs"
CLUSTER_WIDE = {"Namespace"}


def secrets_of_the_bootstrap() -> set[tuple[str, str]]:
    """(name, key) of every Secret that scripts/bootstrap_gcp.sh makes: its lines `secret NAME KEY...`."""
    text = (ROOT / "scripts/bootstrap_gcp.sh").read_text()
    lines = re.findall(r"^\s*secret ([a-z-]+) (.+)$", text, re.MULTILINE)
    return {(name, key.partition("=")[0]) for name, keys in lines for key in keys.split()}


def selectors(documents: list[Document]) -> Iterator[str]:
    """Every selector finds pods; a Service finds those of one owner only."""
    for document in documents:
        spec, kind = document.get("spec", {}), document["kind"]
        if kind == "Service":
            found = _matching(documents, {"matchLabels": spec["selector"]})
            if len(found) != 1:
                yield f"{named(document)} selects the pods of {found or 'nobody'}"
        elif kind in ("Deployment", "PodDisruptionBudget", "PodMonitoring"):
            found = _matching(documents, spec["selector"])
            if kind == "Deployment" and found != [named(document)]:
                yield f"{named(document)} selects the pods of {found or 'nobody'}"
            elif not found:
                yield f"{named(document)} selects nobody"
        elif kind == "NetworkPolicy":
            peers = [rule["podSelector"] for way in ("ingress", "egress") for part in spec.get(way, [])
                     for rule in part.get("to", part.get("from", [])) if "podSelector" in rule]
            for selector in [spec["podSelector"], *peers]:
                if not _matching(documents, selector):
                    yield f"{named(document)} selects nobody by {selector}"
        elif kind == "HorizontalPodAutoscaler":
            target = spec["scaleTargetRef"]
            if f"{target['kind']}/{target['name']}" not in map(named, documents):
                yield f"{named(document)} scales {target['name']}, which is not there"
    for owner, pod in pods(documents).items():
        for spread in pod["spec"].get("topologySpreadConstraints", []):
            if owner not in _matching(documents, spread["labelSelector"]):
                yield f"{owner} is spread by labels that it does not carry"


def ports(documents: list[Document]) -> Iterator[str]:
    """Services, probes, policies and monitors name ports that the containers have."""
    for document in documents:
        kind, spec = document["kind"], document.get("spec", {})
        if kind == "Service":
            for owner in _matching(documents, {"matchLabels": spec["selector"]}):
                for port in spec["ports"]:
                    if port["targetPort"] not in _open(pods(documents)[owner]):
                        yield f"{named(document)} sends to port {port['targetPort']}, which {owner} does not open"
        elif kind == "NetworkPolicy" and _matching(documents, spec["podSelector"]) != list(pods(documents)):
            for owner in _matching(documents, spec["podSelector"]):
                for port in [each["port"] for rule in spec.get("ingress", []) for each in rule.get("ports", [])]:
                    if port not in _open(pods(documents)[owner]):
                        yield f"{named(document)} opens port {port}, which {owner} does not listen on"
        elif kind == "PodMonitoring":
            for owner in _matching(documents, spec["selector"]):
                for endpoint in spec["endpoints"]:
                    if endpoint["port"] not in _open(pods(documents)[owner]):
                        yield f"{named(document)} reads port {endpoint['port']}, which {owner} does not open"
    for owner, pod in pods(documents).items():
        for container in containers(pod):
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                port = container.get(kind, {}).get("httpGet", {}).get("port")
                if port is not None and port not in _open(pod):
                    yield f"{owner}: {kind} asks port {port}, which is not open"


def existence(documents: list[Document]) -> Iterator[str]:
    """What a pod names is there: in the overlay, or, for Secrets, in the bootstrap."""
    there, secrets = set(map(named, documents)), secrets_of_the_bootstrap()
    for owner, pod in pods(documents).items():
        spec = pod["spec"]
        if f"ServiceAccount/{spec.get('serviceAccountName')}" not in there:
            yield f"{owner} runs as {spec.get('serviceAccountName')}, which is not there"
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for name, volume in volumes.items():
            for field, kind, key in (("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"),
                                     ("configMap", "ConfigMap", "name")):
                if field in volume and f"{kind}/{volume[field][key]}" not in there:
                    yield f"{owner}: volume {name} is of the {kind} {volume[field][key]}, which is not there"
            if "secret" in volume and volume["secret"]["secretName"] not in {name for name, _ in secrets}:
                yield f"{owner}: volume {name} is of a Secret that the bootstrap does not make"
        for container in containers(pod):
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield f"{owner} mounts {mount['name']}, which is no volume of it"
            for variable in container.get("env", []):
                source = variable.get("valueFrom", {})
                if reference := source.get("configMapKeyRef"):
                    name = f"ConfigMap/{reference['name']}"
                    if name not in there or reference["key"] not in get(documents, name)["data"]:
                        yield f"{owner}: {variable['name']} is {reference['key']} of {name}, which is not there"
                reference = source.get("secretKeyRef")
                if reference and (reference["name"], reference["key"]) not in secrets:
                    yield (f"{owner}: {variable['name']} is {reference['key']} of the Secret {reference['name']}, "
                           "which the bootstrap does not make")


def namespaces(documents: list[Document]) -> Iterator[str]:
    """One namespace for all, under the restricted pod security standard."""
    for document in documents:
        found = document["metadata"].get("namespace")
        if document["kind"] not in CLUSTER_WIDE and found != NAMESPACE:
            yield f"{named(document)} lies in the namespace {found}, not {NAMESPACE}"
    labels = get(documents, f"Namespace/{NAMESPACE}")["metadata"]["labels"]
    if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
        yield f"Namespace/{NAMESPACE} does not enforce restricted pods"
    for document in documents:
        if document["kind"] == "Secret":
            yield f"{named(document)} is in a file"


def _matching(documents: list[Document], selector: Document) -> list[str]:
    """Owners of the pods that a selector finds."""
    def matches(labels: dict[str, str]) -> bool:
        same = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
        return same and all(labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", []))

    return [owner for owner, pod in pods(documents).items() if matches(pod["metadata"]["labels"])]


def _open(pod: Document) -> set[str | int]:
    """Numbers and names of the ports of a pod."""
    found = [port for container in containers(pod) for port in container.get("ports", [])]
    return {port["containerPort"] for port in found} | {port["name"] for port in found}
