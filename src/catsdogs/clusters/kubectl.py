"""Kubernetes through kubectl: the Deployment that answers users, and beside it one for the candidate."""

import time
from collections.abc import Mapping
from typing import Any

from catsdogs.clusters import pods
from catsdogs.clusters.cluster import CANDIDATE, NotRolledOut
from catsdogs.clusters.forward import Forward
from catsdogs.clusters.kubectl_call import Kubectl
from catsdogs.errors import CatsdogsError, UsageError

POLL_SECONDS = 2.0


class KubectlCluster:
    def __init__(self, namespace: str, deployment: str, context: str | None, public_address: str | None) -> None:
        self.name = f"Deployment {deployment} in namespace {namespace}" + (f" of context {context}" if context else "")
        self._kubectl = Kubectl(namespace, context)
        self._public, self._candidate = deployment, f"{deployment}-candidate"
        self._address = public_address
        self._forwards: dict[str, Forward] = {}
        self._restarts: dict[str, int] = {}  # of the public pods, when they were all ready

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
        self._restarts = {pods.name(pod): pods.restarts(pod) for pod in self._pods(self._public) if pods.ready(pod)}

    def ailing(self) -> list[str]:
        found = (pods.ailment(pod, self._restarts) for pod in self._pods(self._public))
        return [ailment for ailment in found if ailment]

    def logs(self, of: str, lines: int) -> list[str]:
        name, found = self._candidate if of == CANDIDATE else self._public, []
        troubled = [pod for pod in self._pods(name) if not pods.ready(pod) or pods.ailment(pod, self._restarts)]
        for pod in troubled or self._pods(name):
            found += [f"{pods.name(pod)}: {reason}" for reason in pods.waiting(pod)]
            # A container that was started again has not much to say: the one before it knows why it ended.
            ways = [["--previous"], []] if pods.restarts(pod) else [[]]
            for way in ways:
                answer = self._kubectl.try_run("logs", pods.name(pod), f"--tail={lines}", "--all-containers", *way)
                found += (answer or "").splitlines()
            if troubled:
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
            deployment, found = self._deployment(name), self._pods(name)
            image = self._container(deployment)["image"]
            # A Deployment does not count pods that are told to go, but users may meet them until they have ended.
            before = [pods.name(pod) for pod in found if pods.answers(pod) and not pods.runs(pod, image)]
            if _rolled_out(deployment) and not before:
                return
            for pod in found:
                if (reasons := pods.hopeless(pod)) and pods.runs(pod, image):
                    raise NotRolledOut(f"The image {image} does not start: {reasons[0]}.")
            if time.monotonic() > deadline:
                status = deployment.get("status", {})
                if _rolled_out(deployment):
                    raise NotRolledOut(f"Another image than {image} still answers after {seconds:g} s: {before[0]} "
                                       "does not end.")
                raise NotRolledOut(f"The image {image} was not ready within {seconds:g} s: "
                                   f"{status.get('availableReplicas', 0)} of {deployment['spec'].get('replicas', 1)} "
                                   "replicas are.")
            time.sleep(POLL_SECONDS)

    def _pods(self, name: str) -> list[pods.Pod]:
        labels = self._deployment(name)["spec"]["selector"]["matchLabels"]
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        found: list[pods.Pod] = self._kubectl.json("get", "pods", "--selector", selector)["items"]
        return found

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
