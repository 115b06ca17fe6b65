"""Overlays as kubectl renders them, from a copy of k8s/ in which the example stands for what is a person's own."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.servers import ROOT

OVERLAYS = ("gke", "local", "postgres")
Document = dict[str, Any]


def kubectl() -> str:
    """The one of this environment (a wheel ships it), else the machine's."""
    beside = Path(sys.executable).parent / "kubectl"
    return str(beside) if beside.exists() else "kubectl"


def render(overlay: str, folder: Path) -> list[Document]:
    """Every document of an overlay. Raises CalledProcessError with kustomize's words."""
    copy = folder / "k8s"
    if not copy.exists():
        shutil.copytree(ROOT / "k8s", copy, ignore=shutil.ignore_patterns("cluster.env"))
        example = copy / "overlays/gke/cluster.env.example"
        example.rename(example.with_name("cluster.env"))
    answer = subprocess.run([kubectl(), "kustomize", str(copy / "overlays" / overlay)], capture_output=True, text=True)
    if answer.returncode:
        raise AssertionError(f"kustomize cannot render {overlay}: {answer.stderr.strip()}")
    return list(yaml.safe_load_all(answer.stdout))


def named(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def get(documents: list[Document], name: str) -> Document:
    """`get(documents, "Service/cats-dogs-api")`."""
    (found,) = [document for document in documents if named(document) == name]
    return found


def template(document: Document) -> Document | None:
    """The pod that a Deployment, Job or CronJob makes: {"metadata": ..., "spec": ...}."""
    spec = document.get("spec", {})
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found = spec.get("template") if document["kind"] in ("Deployment", "StatefulSet", "Job", "CronJob") else None
    return found if found is None or isinstance(found, dict) else None


def pods(documents: list[Document]) -> dict[str, Document]:
    """Name of the owner -> pod template."""
    return {named(document): found for document in documents if (found := template(document))}


def containers(pod: Document) -> list[Document]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
