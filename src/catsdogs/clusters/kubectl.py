"""Kubernetes through kubectl: the Deployment that answers users, and beside it one for the candidate."""

import time
from collections.abc import Mapping
from typing import Any

from catsdogs.clusters.cluster import CANDIDATE, NotRolledOut
from catsdogs.clusters.forward import Forward
from catsdogs.clusters.kubectl_call import Kubectl
from catsdogs.errors import CatsdogsError, UsageError

POLL_SECONDS = 2.0
HOPELESS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError",
                      "CreateContainerError", "CrashLoopBackOff"})
MANY_RESTARTS = 3  # a container that keeps ending, seen between two of its starts


class KubectlCluster:
    def __init__(self, namespace: str, deployment: str, context: str | None, public_address: str | None) -> None:
        self.name = f"Deployment {deployment} in namespace {namespace}" + (f" of context {context}" if context else "")
        self._kubectl = Kubectl(namespace, context)
        self._public, self._candidate = deployment, f"{deployment}-candidate"
        self._address = public_address
        self._forwards: dict[str, Forward] = {}

    def pinned(self, image: str) -> str:
        repository, _, digest = image.partition("@sha256:")
        if not repository or len(digest) != 64 or image.startswith("-"):
            raise UsageError(f"--image {image!r} has no digest: a tag may mean another image tomorrow, name it as "
                             "repository@sha256:….")
        return image

    def current_image(self) -> str | None:
        return str(self._container(self._deployment(self._public))["image"])

    def public_address(self) -> str:
        if self._address:
            return self._address
        service = self._kubectl.json("get", "service", self._public)
        port = service["spec"]["ports"][0]["port"]
        for ingress in service.get("status", {}).get("loadBalancer", {}).get("ingress") or []:
            if host := ingress.get("ip") or ingress.get("hostname"):
                return f"http://{host}" + ("" if port == 80 else f":{port}")
        return self._forwarded(self._public)

    def start_candidate(self, image: str, seconds: float) -> str:
        self._set(self._candidate, image)
        self._kubectl.run("scale", f"deployment/{self._candidate}", "--replicas=1")
        self._wait(self._candidate, seconds)
        return self._forwarded(self._candidate)

    def stop_candidate(self) -> None:
        if forward := self._forwards.pop(self._candidate, None):
            forward.close()
        self._kubectl.run("scale", f"deployment/{self._candidate}", "--replicas=0")

    def set_image(self, image: str | None) -> None:
        if image is None:
            raise CatsdogsError(f"Deployment {self._public} cannot run no image: undo it with kubectl.")
        self._set(self._public, image)

    def wait_rolled_out(self, seconds: float) -> None:
        self._wait(self._public, seconds)
        if forward := self._forwards.pop(self._public, None):
            forward.close()  # it leads to a pod that is gone

    def logs(self, of: str, lines: int) -> list[str]:
        name = self._candidate if of == CANDIDATE else self._public
        found = []
        for pod in sorted(self._pods(name), key=_ready):  # those in trouble first
            found += [f"{pod['metadata']['name']}: {reason}" for reason in _waiting(pod)]
            answer = self._kubectl.try_run("logs", pod["metadata"]["name"], f"--tail={lines}", "--all-containers")
            found += (answer or "").splitlines()
            if not _ready(pod):
                break
        return found[-lines:]

    def close(self) -> None:
        for name in list(self._forwards):
            self._forwards.pop(name).close()

    def _deployment(self, name: str) -> dict[str, Any]:
        return self._kubectl.json("get", "deployment", name)

    def _container(self, deployment: Mapping[str, Any]) -> dict[str, Any]:
        containers: list[dict[str, Any]] = deployment["spec"]["template"]["spec"]["containers"]
        return containers[0]

    def _set(self, name: str, image: str) -> None:
        container = self._container(self._deployment(name))
        self._kubectl.run("set", "image", f"deployment/{name}", f"{container['name']}={image}")

    def _wait(self, name: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            deployment = self._deployment(name)
            if _rolled_out(deployment):
                return
            image = self._container(deployment)["image"]
            for pod in self._pods(name):
                reasons = [why for why in _waiting(pod) if why.split(":")[0] in HOPELESS]
                if reasons and self._runs(pod, image):
                    raise NotRolledOut(f"The image {image} does not start: {reasons[0]}.")
            if time.monotonic() > deadline:
                status = deployment.get("status", {})
                raise NotRolledOut(f"The image {image} was not ready within {seconds:g} s: "
                                   f"{status.get('availableReplicas', 0)} of {deployment['spec'].get('replicas', 1)} "
                                   "replicas are.")
            time.sleep(POLL_SECONDS)

    def _pods(self, name: str) -> list[dict[str, Any]]:
        labels = self._deployment(name)["spec"]["selector"]["matchLabels"]
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        pods: list[dict[str, Any]] = self._kubectl.json("get", "pods", "--selector", selector)["items"]
        return pods

    def _runs(self, pod: Mapping[str, Any], image: str) -> bool:
        return any(container.get("image") == image for container in pod["spec"]["containers"])

    def _forwarded(self, service: str) -> str:
        forward = self._forwards.get(service)
        if forward is not None and not forward.alive():
            forward.close()
            forward = None
        if forward is None:
            forward = self._forwards[service] = Forward(self._kubectl.words("port-forward", f"service/{service}"),
                                                        self._kubectl.json("get", "service", service))
        return forward.address


def _rolled_out(deployment: Mapping[str, Any]) -> bool:
    """As `kubectl rollout status` decides it."""
    wanted, status = deployment["spec"].get("replicas", 1), deployment.get("status", {})
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return False
    return bool(status.get("updatedReplicas", 0) >= wanted and status.get("replicas", 0) <= max(wanted, 0)
                and status.get("availableReplicas", 0) >= wanted)


def _ready(pod: Mapping[str, Any]) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return bool(statuses) and all(status.get("ready") for status in statuses)


def _waiting(pod: Mapping[str, Any]) -> list[str]:
    """Why its containers do not run, reason first."""
    found = []
    for status in pod.get("status", {}).get("containerStatuses") or []:
        waiting = status.get("state", {}).get("waiting") or {}
        if reason := waiting.get("reason"):
            found.append(f"{reason}: {waiting.get('message', '')}".rstrip(": "))
        elif status.get("restartCount", 0) >= MANY_RESTARTS and not status.get("ready"):
            found.append(f"CrashLoopBackOff: it ended {status['restartCount']} times")
    return found
