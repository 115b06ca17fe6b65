"""Clusters to release to: the API server of tests/release/kube_server.py, and where KUBECONFIG names one, a real one.

Both are reached the same way: a kubeconfig, images by role, and a namespace that is made for the tests and thrown away.
A real cluster needs images that it can pull: `python -m tests.release.images` makes them and names them.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from catsdogs.clusters.cluster import CANDIDATE
from catsdogs.clusters.detached import alive, answers
from catsdogs.clusters.kubectl import KubectlCluster
from catsdogs.clusters.process import Processes
from tests.k8s.render import get, render
from tests.release.places import Place
from tests.servers import ROOT
from tests.waiting import until

PUBLIC = "cats-dogs-api"
GIVEN = os.environ.get("KUBECONFIG")  # as it was before any test
KINDS = ["fake", *(["kubeconfig"] if GIVEN else [])]
MANIFESTS = ("ServiceAccount/catsdogs-api", f"Deployment/{PUBLIC}", f"Service/{PUBLIC}",
             f"Deployment/{PUBLIC}-candidate", f"Service/{PUBLIC}-candidate")
ROLES = ("good", "better", "flipped", "broken", "dying")
"""Models of tests/release/places.py; broken does not start, dying is good and its replicas end after a while."""


@dataclass(frozen=True)
class Kubernetes:
    kubeconfig: str
    images: dict[str, str]  # role -> name by digest
    namespace: str
    seconds: float  # that an image may take

    def kubectl(self, *words: str, given: str | None = None) -> str:
        answer = subprocess.run(["kubectl", f"--namespace={self.namespace}", *words], input=given, text=True,
                                capture_output=True, env=os.environ | {"KUBECONFIG": self.kubeconfig})
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def deployment(self, name: str = PUBLIC) -> Any:
        return json.loads(self.kubectl("get", "deployment", name, "--output=json"))

    def restore(self) -> None:
        """As before any release: `good` is public, and there is no candidate."""
        cluster = KubectlCluster(self.namespace, PUBLIC, None, None)
        if cluster.current_image() != self.images["good"]:
            cluster.set_image(self.images["good"])
            cluster.wait_rolled_out(self.seconds)
        if self.deployment(f"{PUBLIC}-{CANDIDATE}")["spec"]["replicas"]:
            cluster.stop_candidate()
        cluster.close()


@contextmanager
def kubernetes(kind: str, models: Place, folder: Path) -> Iterator[Kubernetes]:
    """With the project's own manifests of the API applied in a new namespace, and `good` answering."""
    with ExitStack() as stack:
        if kind == "fake":
            config, images = stack.enter_context(_fake(models, folder)), fake_images()
        else:
            assert GIVEN is not None
            config, images = GIVEN, given_images()
        found = Kubernetes(config, images, f"catsdogs-test-{secrets.token_hex(4)}", 30 if kind == "fake" else 300)
        stack.callback(found.kubectl, "delete", "namespace", found.namespace, "--wait=false",
                       "--ignore-not-found")
        found.kubectl("create", "--validate=false", "--filename=-", given=_manifests(found))
        yield found


def fake_images() -> dict[str, str]:
    return {role: f"registry.example/api@sha256:{str(number) * 64}" for number, role in enumerate(ROLES, 1)}


def given_images() -> dict[str, str]:
    given = os.environ.get("CATSDOGS_TEST_IMAGES")
    if not given:
        pytest.skip("KUBECONFIG names a cluster, but CATSDOGS_TEST_IMAGES no images that it can pull: `python -m "
                    "tests.release.images` makes them")
    images: dict[str, str] = json.loads(given)
    assert images.keys() == set(ROLES), f"CATSDOGS_TEST_IMAGES names {sorted(images)}, needed are {ROLES}"
    return images


def _manifests(cluster: Kubernetes) -> str:
    """Of the overlay `local`, in the namespace of the test; with two replicas, and nothing that costs money."""
    with tempfile.TemporaryDirectory() as scratch:
        documents = render("local", Path(scratch))
    found = [get(documents, name) for name in MANIFESTS]
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}}
    for document in found:
        document["metadata"]["namespace"] = cluster.namespace
        if document["kind"] == "Deployment":
            document["spec"]["replicas"] = 2 if document["metadata"]["name"] == PUBLIC else 0
            document["spec"]["template"]["spec"]["containers"][0]["image"] = cluster.images["good"]
        if document["kind"] == "Service":
            document["spec"]["type"] = "ClusterIP"
    return yaml.safe_dump_all([space, *found])


@contextmanager
def _fake(models: Place, folder: Path) -> Iterator[str]:
    """The API server as a process of its own; the real service with each model is what its containers run."""
    images, processes = fake_images(), Processes(folder / "images")
    known: dict[str, int | str] = {}
    with ExitStack() as stack:
        for role in ("good", "better", "flipped", "broken"):
            replica = processes.start(processes.pinned(str(models.models[role])), role)
            stack.callback(processes.stop, replica)
            if role == "broken":
                until(lambda handle=replica.handle: not alive(handle), 60)
                known[images[role]] = "CrashLoopBackOff"
                broken = "\n".join(processes.logs(replica, 50))
            else:
                until(lambda address=replica.address: answers(f"{address}/readyz"), 60)
                known[images[role]] = int(replica.address.rpartition(":")[2])
        known[images["dying"]] = known[images["good"]]  # it lives long enough; kube.py lets its replica end
        logs = {images["broken"]: broken, images["dying"]: "catsdogs serve: cannot go on\n"}
        for name, value in {"images": known, "dying": [images["dying"]], "logs": logs}.items():
            (folder / f"{name}.json").write_text(json.dumps(value))
        command = [sys.executable, "-m", "tests.release.kube_server", str(folder)]
        server = stack.enter_context(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE))
        assert server.stdin is not None
        stack.callback(server.stdin.close)
        until((folder / "kubeconfig").exists)
        yield str(folder / "kubeconfig")
