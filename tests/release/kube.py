"""What a small Kubernetes knows: namespaces, Deployments that roll out, their pods, Services and logs."""

import threading
from dataclasses import dataclass, field
from typing import Any

HERE = "cats-dogs"
LEAVING = 4  # times that a Deployment's pods are listed before one that was told to go has ended
Found = tuple[int, Any]  # status, and an object or a log


@dataclass
class Deployment:
    image: str
    replicas: int
    ready_image: str = ""  # what its ready pods run
    generation: int = 1
    seen: int = 0  # how often its pods were listed since the image was set
    leaving: str = ""  # image of a pod that was told to go, and answers until its pods were listed a few times


@dataclass
class Kube:
    """`images`: what each image is: the port of a service, or why it does not start."""

    images: dict[str, int | str]
    deployments: dict[str, Deployment]  # by name in the namespace cats-dogs, by namespace/name elsewhere
    dying: set[str] = field(default_factory=set)  # images of which one replica ends, once there are several
    script: list[int] = field(default_factory=list)  # statuses for the next requests; 0: the answer never comes
    requests: list[tuple[str, str]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)  # image -> its log
    balancer: dict[str, Any] = field(default_factory=dict)
    namespaces: set[str] = field(default_factory=lambda: {HERE})
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)

    def patched(self) -> list[str]:
        return [path for method, path in self.requests if method == "PATCH"]

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Found:
        """Of everything but discovery and port-forwards. Paths are /api/v1/namespaces/NAME/KIND/NAME/SUBRESOURCE."""
        space, kind, name, below, *_ = [*path.partition("/namespaces")[2].strip("/").split("/"), "", "", ""]
        if not kind:
            return self._namespace(method, space, body)
        if space not in self.namespaces:
            return _missing("namespaces", space)
        if method == "POST":
            return self._create(space, kind, body)
        if kind == "pods":
            return self._pod(space, name, below, query)
        known = self.deployments.get(_key(space, name))
        if kind == "deployments" and known:
            if method in ("PATCH", "PUT"):
                self._change(known, body)
            if below == "scale":
                return 200, _scale(space, name, known)
            return 200, _deployment(space, name, known, self._up(known))
        if kind == "services" and known:
            balancer = self.balancer if not name.endswith("-candidate") else {}
            return 200, _service(space, name, balancer)
        return _missing(kind, name)

    def port(self, space: str, pod: str) -> int:
        """Of the service that a pod's image stands for."""
        port = self.images[self.deployments[_key(space, pod.rpartition("-")[0])].ready_image]
        assert isinstance(port, int)
        return port

    def _namespace(self, method: str, name: str, body: Any) -> Found:
        if method == "POST":
            self.namespaces.add(body["metadata"]["name"])
            return 201, body
        if name not in self.namespaces:
            return _missing("namespaces", name)
        if method == "DELETE":
            self.namespaces.remove(name)
            for key in [key for key in self.deployments if key.startswith(f"{name}/")]:
                del self.deployments[key]
        return 200, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}

    def _create(self, space: str, kind: str, body: Any) -> Found:
        if kind == "deployments":
            (container,) = body["spec"]["template"]["spec"]["containers"]
            made = Deployment(container["image"], body["spec"]["replicas"])
            made.ready_image = made.image if self._up(made) else ""
            self.deployments[_key(space, body["metadata"]["name"])] = made
        return 201, body

    def _pod(self, space: str, name: str, below: str, query: dict[str, list[str]]) -> Found:
        if not name:
            wanted = query["labelSelector"][0].partition("=")[2]
            known = self.deployments[_key(space, wanted)]
            known.seen += 1
            return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {},
                         "items": self._pods(space, wanted, known)}
        owner = name.rpartition("-")[0]
        known = self.deployments[_key(space, owner)]
        if below == "log":
            log = self.logs.get(known.image, "")
            return 200, log if ("previous" in query) == (known.image in self.dying) else "just started\n"
        return 200, next(pod for pod in self._pods(space, owner, known) if pod["metadata"]["name"] == name)

    def _up(self, known: Deployment) -> bool:
        return isinstance(self.images.get(known.image), int)

    def _change(self, known: Deployment, patch: dict[str, Any]) -> None:
        spec = patch["spec"]
        known.replicas = spec.get("replicas", known.replicas)
        for container in spec.get("template", {}).get("spec", {}).get("containers", []):
            known.image, known.seen = container["image"], 0
        known.generation += 1
        if self._up(known):
            if known.ready_image != known.image and known.replicas:
                known.leaving = known.ready_image
            known.ready_image = known.image

    def _pods(self, space: str, name: str, known: Deployment) -> list[dict[str, Any]]:
        count = known.replicas if known.ready_image else 0
        pods = [_pod(space, f"{name}-{number}", known.ready_image) for number in range(count)]
        if known.ready_image in self.dying and known.replicas > 1 and known.seen > LEAVING + 4:
            (status,) = pods[-1]["status"]["containerStatuses"]
            status |= {"restartCount": 1, "lastState": {"terminated": {"reason": "Error", "exitCode": 3}}}
        if known.leaving and known.seen <= LEAVING:
            old = _pod(space, f"{name}-old", known.leaving)
            old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            pods.append(old)
        if not self._up(known) and known.replicas:
            reason = str(self.images.get(known.image, "ErrImagePull"))
            pods.append(_pod(space, f"{name}-new", known.image, waiting=reason))
        return pods


def _key(space: str, name: str) -> str:
    return name if space == HERE else f"{space}/{name}"


def _missing(kind: str, name: str) -> Found:
    return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
                 "message": f'{kind} "{name}" not found', "details": {"name": name, "kind": kind}}


def _scale(space: str, name: str, known: Deployment) -> dict[str, Any]:
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": name, "namespace": space},
            "spec": {"replicas": known.replicas}, "status": {"replicas": known.replicas}}


def _service(space: str, name: str, balancer: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name, "namespace": space},
            "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
                     "clusterIP": "10.0.0.1"}, "status": {"loadBalancer": balancer}}


def _deployment(space: str, name: str, known: Deployment, up: bool) -> dict[str, Any]:
    updated = known.replicas if up else 1
    return {
        "kind": "Deployment", "apiVersion": "apps/v1",
        "metadata": {"name": name, "namespace": space, "generation": known.generation,
                     "resourceVersion": str(known.generation)},
        "spec": {"replicas": known.replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "api", "image": known.image,
                                     "ports": [{"name": "http", "containerPort": 8080}]}]}}},
        "status": {"observedGeneration": known.generation, "replicas": known.replicas + (0 if up else 1),
                   "updatedReplicas": updated, "availableReplicas": known.replicas if known.ready_image else 0},
    }


def _pod(space: str, name: str, image: str, waiting: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": waiting, "message": "back-off"}} if waiting else {
        "running": {"startedAt": "2026-01-01T00:00:00Z"}}
    return {
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": space, "labels": {"app": name.rpartition("-")[0]},
                     "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "api", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Pending" if waiting else "Running",
                   "conditions": [{"type": "Ready", "status": "False" if waiting else "True"}],
                   "containerStatuses": [{"name": "api", "image": image, "ready": not waiting, "restartCount": 0,
                                          "state": state}]},
    }
