"""A cluster of containers, with a real engine and images of a few lines that answer like the service."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from catsdogs.clusters.cluster import CANDIDATE, PUBLIC, NotRolledOut
from catsdogs.clusters.docker import Containers
from catsdogs.clusters.local import LocalCluster
from catsdogs.errors import CatsdogsError, UsageError
from tests.release.places import client

BASE = "python:3.11-slim-bookworm"
SERVICE = '''
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
READY = os.environ["READY"] == "yes"
print("catsdogs serve: cannot be ready" if not READY else "serving", flush=True)
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = {"ready": READY, "reason": "its model is broken", "label": os.environ["LABEL"]}
        data = json.dumps(body).encode()
        self.send_response(503 if self.path == "/readyz" and not READY else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    do_GET = do_POST = answer
    def log_message(self, *_): pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
'''


def engine() -> bool:
    try:
        return subprocess.run(["docker", "image", "inspect", BASE], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


pytestmark = [
    pytest.mark.xdist_group("docker"),
    pytest.mark.skipif(not engine(), reason=f"no Docker engine with the image {BASE} (DOCKER_HOST)"),
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What each image does -> its tag."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "service.py").write_text(SERVICE)
    tags = {}
    for name, lines in {
        "one": "ENV READY=yes LABEL=cat", "two": "ENV READY=yes LABEL=dog", "unready": "ENV READY=no LABEL=cat",
        "ends": 'ENV READY=yes LABEL=cat\nCMD ["python3", "-c", "raise SystemExit(\'catsdogs serve: no model\')"]',
    }.items():
        command = '' if name == "ends" else '\nCMD ["python3", "/service.py"]'
        (folder / "Dockerfile").write_text(f"FROM {BASE}\nCOPY service.py /service.py\nUSER 10001\n{lines}{command}\n")
        tags[name] = f"catsdogs-test-{os.getpid()}:{name}"
        subprocess.run(["docker", "build", "--quiet", "--tag", tags[name], str(folder)], check=True,
                       capture_output=True)
    yield tags
    subprocess.run(["docker", "rmi", "--force", *tags.values()], capture_output=True)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    found = LocalCluster(Containers(tmp_path), tmp_path, 2, 0)
    try:
        yield found
    finally:
        found.stop()
        assert containers(tmp_path) == []


def containers(folder: Path) -> list[str]:
    mark = Containers(folder)._mark
    listed = subprocess.run(["docker", "ps", "--all", "--quiet", "--filter", f"label=catsdogs.cluster={mark}"],
                            capture_output=True, text=True, check=True)
    return listed.stdout.split()


def test_images_change_without_a_lost_request(
    cluster: LocalCluster, images: dict[str, str], tmp_path: Path
) -> None:
    one, two = (cluster.pinned(images[name]) for name in ("one", "two"))
    assert one.startswith("sha256:") and one == cluster.pinned(one)
    assert cluster.current_image() is None
    cluster.set_image(one)
    cluster.wait_rolled_out(60)
    with client(cluster.public_address()) as seen:
        while len(seen.statuses) < 5:
            time.sleep(0.05)
        address = cluster.start_candidate(two, 60)
        assert address != cluster.public_address() and len(containers(tmp_path)) == 3
        cluster.set_image(two)
        assert cluster.current_image() == two
        cluster.wait_rolled_out(60)
        cluster.stop_candidate()
        so_far = len(seen.statuses)
        while len(seen.statuses) < so_far + 5:
            time.sleep(0.05)
    assert set(seen.statuses) == {200}
    assert seen.right[0] and not seen.right[-1]  # the first image says cat, the second dog
    assert len(containers(tmp_path)) == 2 and set(cluster.replicas().values()) == {True}
    cluster.set_image(two)
    cluster.wait_rolled_out(60)  # nothing to do
    cluster.set_image(None)
    cluster.wait_rolled_out(60)
    assert containers(tmp_path) == []


def test_what_does_not_come_up_changes_nothing(
    cluster: LocalCluster, images: dict[str, str], tmp_path: Path
) -> None:
    one = cluster.pinned(images["one"])
    cluster.set_image(one)
    cluster.wait_rolled_out(60)
    serving = cluster.replicas()
    with pytest.raises(NotRolledOut, match=r"does not start: its replica candidate ended"):
        cluster.start_candidate(cluster.pinned(images["ends"]), 30)
    assert cluster.logs(CANDIDATE, 10) == ["catsdogs serve: no model"]
    with pytest.raises(NotRolledOut, match="was not ready within 2 s: its model is broken"):
        cluster.start_candidate(cluster.pinned(images["unready"]), 2)
    cluster.set_image(cluster.pinned(images["unready"]))
    with pytest.raises(NotRolledOut):
        cluster.wait_rolled_out(2)
    assert cluster.logs(PUBLIC, 10) == ["catsdogs serve: cannot be ready"] * 2
    assert cluster.replicas() == serving
    cluster.set_image(one)
    cluster.wait_rolled_out(60)
    cluster.stop_candidate()
    assert cluster.replicas() == serving and len(containers(tmp_path)) == 2


def test_containers_are_locked_down(cluster: LocalCluster, images: dict[str, str], tmp_path: Path) -> None:
    cluster.start_candidate(cluster.pinned(images["one"]), 60)
    (found,) = containers(tmp_path)
    form = "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}"
    shown = subprocess.run(["docker", "inspect", "--format", form, found], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "true [ALL] [no-new-privileges]"


def test_images_that_are_none(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="this Docker engine has no such image; build it"):
        cluster.pinned("nowhere-at-all:1")
    with pytest.raises(UsageError, match="is no name of an image"):
        cluster.pinned("--privileged")
    with pytest.raises(CatsdogsError, match="docker pull failed"):
        cluster.pinned("127.0.0.1:9/nowhere@sha256:" + "0" * 64)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(CatsdogsError, match="No Docker engine answers: start one, or name it with DOCKER_HOST"):
        cluster.pinned("python:3")
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CatsdogsError, match="docker is not installed: .*--cluster process"):
        cluster.pinned("python:3")
    monkeypatch.undo()
