"""A small Kubernetes API server: Deployments that roll out, their pods, Services, logs and port-forwards. It records
what it is asked and spoils what it is told to.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.release.spdy import Tunnel

SPACE = "/namespaces/cats-dogs/"
RESOURCES = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [{
        "name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
        "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}}]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [
        {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "list"]},
        {"name": "pods/log", "namespaced": True, "kind": "Pod", "verbs": ["get"]},
        {"name": "pods/portforward", "namespaced": True, "kind": "PodPortForwardOptions", "verbs": ["create", "get"]},
        {"name": "services", "singularName": "service", "namespaced": True, "kind": "Service", "verbs": ["get"]}]},
    "/apis/apps/v1": {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": [
        {"name": "deployments", "singularName": "deployment", "namespaced": True, "kind": "Deployment",
         "verbs": ["get", "list", "patch", "update"]},
        {"name": "deployments/scale", "namespaced": True, "group": "autoscaling", "version": "v1", "kind": "Scale",
         "verbs": ["get", "patch", "update"]}]},
    "/api/v1/namespaces/cats-dogs": {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "cats-dogs"}},
    "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0"},
}


@dataclass
class Deployment:
    image: str
    replicas: int
    ready_image: str = ""  # what its ready pods run
    generation: int = 1


@dataclass
class Kube:
    """`images`: what each image is: the port of a service, or why it does not start."""

    images: dict[str, int | str]
    deployments: dict[str, Deployment]
    script: list[int] = field(default_factory=list)  # statuses for the next requests; 0: the answer never comes
    requests: list[tuple[str, str]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)  # image -> its log
    balancer: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)

    def patched(self) -> list[str]:
        return [path for method, path in self.requests if method == "PATCH"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kube: Kube

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        with self.kube.lock:
            self.kube.requests.append((self.command, parts.path))
            spoilt = self.kube.script.pop(0) if self.kube.script and parts.path not in RESOURCES else None
        if spoilt == 0:
            self.kube.stopped.wait(60)
            self.close_connection = True
        elif spoilt is not None:
            reason = {429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}.get(spoilt, "Forbidden")
            self._json(spoilt, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
                                "code": spoilt, "message": f"the server says {spoilt}"})
        elif parts.path in RESOURCES:
            self._json(200, RESOURCES[parts.path])
        elif parts.path.endswith("/portforward"):
            self._forward(parts.path.split("/")[-2])
        else:
            with self.kube.lock:
                status, value = self._resource(parts.path, parse_qs(parts.query), body)
            self._json(status, value)

    do_GET = do_PATCH = do_PUT = do_POST = _answer

    def _resource(self, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        kind, _, name = path.partition(SPACE)[2].partition("/")
        name, _, below = name.partition("/")
        known = self.kube.deployments.get(name)
        if kind == "deployments" and known:
            if self.command in ("PATCH", "PUT"):
                self._change(known, json.loads(body))
            return 200, self._scale(name, known) if below == "scale" else _deployment(name, known, self._up(known))
        if kind == "services" and name in self.kube.deployments:
            return 200, self._service(name)
        if kind == "pods" and not name:
            wanted = query["labelSelector"][0].partition("=")[2]
            return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {},
                         "items": self._pods(wanted, self.kube.deployments[wanted])}
        if kind == "pods":
            owner = name.rpartition("-")[0]
            if below == "log":
                return 200, self.kube.logs.get(self.kube.deployments[owner].image, "")
            return 200, next(pod for pod in self._pods(owner, self.kube.deployments[owner])
                             if pod["metadata"]["name"] == name)
        return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
                     "message": f'{kind} "{name}" not found', "details": {"name": name, "kind": kind}}

    def _up(self, known: Deployment) -> bool:
        return isinstance(self.kube.images.get(known.image), int)

    def _change(self, known: Deployment, patch: dict[str, Any]) -> None:
        spec = patch["spec"]
        known.replicas = spec.get("replicas", known.replicas)
        for container in spec.get("template", {}).get("spec", {}).get("containers", []):
            known.image = container["image"]
        known.generation += 1
        if self._up(known):
            known.ready_image = known.image

    def _scale(self, name: str, known: Deployment) -> dict[str, Any]:
        return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": name, "namespace": "cats-dogs"},
                "spec": {"replicas": known.replicas}, "status": {"replicas": known.replicas}}

    def _service(self, name: str) -> dict[str, Any]:
        balancer = self.kube.balancer if not name.endswith("-candidate") else {}
        return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name, "namespace": "cats-dogs"},
                "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
                         "clusterIP": "10.0.0.1"}, "status": {"loadBalancer": balancer}}

    def _pods(self, name: str, known: Deployment) -> list[dict[str, Any]]:
        pods = [_pod(f"{name}-{number}", known.ready_image) for number in range(known.replicas) if known.ready_image]
        if not self._up(known) and known.replicas:
            reason = str(self.kube.images.get(known.image, "ErrImagePull"))
            pods.append(_pod(f"{name}-new", known.image, waiting=reason))
        return pods

    def _forward(self, pod: str) -> None:
        if not self.headers.get("Upgrade", "").startswith("SPDY"):  # kubectl tries a WebSocket first
            self._json(400, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "BadRequest",
                             "code": 400, "message": "unable to upgrade"})
            return
        with self.kube.lock:
            port = self.kube.images[self.kube.deployments[pod.rpartition("-")[0]].ready_image]
        assert isinstance(port, int)
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "SPDY/3.1")
        self.send_header("X-Stream-Protocol-Version", "portforward.k8s.io")
        self.end_headers()
        self.wfile.flush()
        Tunnel(self.connection, self.rfile, port).run()
        self.close_connection = True

    def _json(self, status: int, value: Any) -> None:
        data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
        if status == 429:
            self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def _deployment(name: str, known: Deployment, up: bool) -> dict[str, Any]:
    updated = known.replicas if up else 1
    return {
        "kind": "Deployment", "apiVersion": "apps/v1",
        "metadata": {"name": name, "namespace": "cats-dogs", "generation": known.generation,
                     "resourceVersion": str(known.generation)},
        "spec": {"replicas": known.replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "api", "image": known.image,
                                     "ports": [{"name": "http", "containerPort": 8080}]}]}}},
        "status": {"observedGeneration": known.generation, "replicas": known.replicas + (0 if up else 1),
                   "updatedReplicas": updated, "availableReplicas": known.replicas if known.ready_image else 0},
    }


def _pod(name: str, image: str, waiting: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": waiting, "message": "back-off"}} if waiting else {
        "running": {"startedAt": "2026-01-01T00:00:00Z"}}
    return {
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "cats-dogs", "labels": {"app": name.rpartition("-")[0]},
                     "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "api", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Pending" if waiting else "Running",
                   "conditions": [{"type": "Ready", "status": "False" if waiting else "True"}],
                   "containerStatuses": [{"name": "api", "image": image, "ready": not waiting, "restartCount": 0,
                                          "state": state}]},
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # a client that was killed


@contextmanager
def api_server(kube: Kube, folder: Path) -> Iterator[Path]:
    """Yields the kubeconfig that leads to it."""
    handler = type("Handler", (_Handler,), {"kube": kube})
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    config = folder / "kubeconfig"
    config.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "test", "users": [{"name": "test", "user": {}}],
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]}))
    try:
        yield config
    finally:
        kube.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


def wait_until(true: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
