"""The API server before tests/release/kube.py: it records what it is asked and spoils what it is told to.

In this process, or in one of its own: `python -m tests.release.kube_server FOLDER` reads images.json there (image ->
port, or why it does not start), dying.json and logs.json, and writes the kubeconfig that leads to it.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.release.kube import HERE, Kube
from tests.release.spdy import Tunnel

RESOURCES = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [{
        "name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
        "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}}]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [
        {"name": "namespaces", "singularName": "namespace", "namespaced": False, "kind": "Namespace",
         "verbs": ["create", "delete", "get"]},
        {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "list"]},
        {"name": "pods/log", "namespaced": True, "kind": "Pod", "verbs": ["get"]},
        {"name": "pods/portforward", "namespaced": True, "kind": "PodPortForwardOptions", "verbs": ["create", "get"]},
        {"name": "serviceaccounts", "singularName": "serviceaccount", "namespaced": True, "kind": "ServiceAccount",
         "verbs": ["create"]},
        {"name": "services", "singularName": "service", "namespaced": True, "kind": "Service",
         "verbs": ["create", "get"]}]},
    "/apis/apps/v1": {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": [
        {"name": "deployments", "singularName": "deployment", "namespaced": True, "kind": "Deployment",
         "verbs": ["create", "get", "list", "patch", "update"]},
        {"name": "deployments/scale", "namespaced": True, "group": "autoscaling", "version": "v1", "kind": "Scale",
         "verbs": ["get", "patch", "update"]}]},
    "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0"},
}


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
            *_, space, _, pod, _ = parts.path.split("/")
            self._forward(space, pod)
        else:
            with self.kube.lock:
                found = self.kube.answer(self.command, parts.path, parse_qs(parts.query),
                                         json.loads(body) if body else {})
            self._json(*found)

    do_GET = do_PATCH = do_PUT = do_POST = do_DELETE = _answer

    def _forward(self, space: str, pod: str) -> None:
        if not self.headers.get("Upgrade", "").startswith("SPDY"):  # kubectl tries a WebSocket first
            self._json(400, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "BadRequest",
                             "code": 400, "message": "unable to upgrade"})
            return
        with self.kube.lock:
            port = self.kube.port(space, pod)
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
    config, coming = folder / "kubeconfig", folder / "kubeconfig.coming"
    coming.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "test", "users": [{"name": "test", "user": {}}],
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": HERE}}]}))
    coming.rename(config)
    try:
        yield config
    finally:
        kube.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


def main(folder: Path) -> None:
    """Until its standard input ends, so that it never outlives its starter; then what it was asked is requests.json."""
    read = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("images", "dying", "logs")}
    kube = Kube(read["images"], {}, dying=set(read["dying"]), logs=read["logs"])
    with api_server(kube, folder):
        sys.stdin.read()
    (folder / "requests.json").write_text(json.dumps(kube.requests))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
