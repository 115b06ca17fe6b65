"""Replicas that are containers, through the docker command line: arguments as lists, nothing through a shell."""

import hashlib
import re
import subprocess
from pathlib import Path

from catsdogs.clusters.replicas import Replica
from catsdogs.errors import CatsdogsError, UsageError

PORT = 8080  # inside the container
DIGEST = re.compile(r"(?:[^\s@]+@)?sha256:[0-9a-f]{64}")
# As the manifests run it: nothing to write to but /tmp, no rights that it does not need.
LOCKED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
SECONDS = 120.0  # the longest a docker command may take; stopping waits for what is under way
LABEL = "catsdogs.cluster"


class Containers:
    kind = "docker"

    def __init__(self, folder: Path) -> None:
        # Two clusters on one machine must not take each other's containers.
        self._mark = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:8]

    def pinned(self, image: str) -> str:
        """`repository@sha256:…` as it is, pulled where it is not there; of anything else, the id of the image."""
        if not image or image.startswith("-"):
            raise UsageError(f"--image {image!r} is no name of an image.")
        if DIGEST.fullmatch(image):
            if not self._has(image):
                _docker("pull", "--quiet", image)
            return image
        if not self._has(image):
            raise UsageError(f"--image {image}: this Docker engine has no such image; build it, or name one by digest.")
        return _docker("image", "inspect", "--format", "{{.Id}}", image).strip()

    def start(self, image: str, name: str) -> Replica:
        self.sweep(name)
        handle = _docker("run", "--detach", "--name", self._container(name), "--label", f"{LABEL}={self._mark}",
                         "--publish", f"127.0.0.1::{PORT}", *LOCKED, image).strip()
        try:
            published = _docker("port", handle, f"{PORT}/tcp").splitlines()[0]
        except (CatsdogsError, IndexError):
            # It ended before it was asked. `alive` says so, and its log says why.
            published = "127.0.0.1:9"
        return Replica(name=name, image=image, address=f"http://127.0.0.1:{published.rpartition(':')[2]}",
                       handle=handle)

    def stop(self, replica: Replica) -> None:
        if _known(replica.handle):
            _docker("stop", "--time", "25", replica.handle)
            _docker("rm", "--force", replica.handle)

    def alive(self, replica: Replica) -> bool:
        found = _run("container", "inspect", "--format", "{{.State.Running}}", replica.handle)
        return found.returncode == 0 and found.stdout.strip() == "true"

    def sweep(self, name: str) -> None:
        if _known(self._container(name)):
            _docker("rm", "--force", self._container(name))

    def logs(self, replica: Replica, lines: int) -> list[str]:
        answer = _run("logs", "--tail", str(lines), replica.handle)
        return (answer.stdout + answer.stderr).splitlines()[-lines:] if answer.returncode == 0 else []

    def _container(self, name: str) -> str:
        return f"catsdogs-{self._mark}-{name}"

    def _has(self, image: str) -> bool:
        return _run("image", "inspect", image).returncode == 0


def _known(container: str) -> bool:
    return _run("container", "inspect", container).returncode == 0


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        answer = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=SECONDS,
                                errors="replace")
    except FileNotFoundError:
        raise CatsdogsError("docker is not installed: install it, or run the replicas as processes with "
                            "--cluster process.") from None
    except subprocess.TimeoutExpired:
        raise CatsdogsError(f"docker {arguments[0]} took longer than {SECONDS:g} s: is the engine well?") from None
    if answer.returncode and "Cannot connect to the Docker daemon" in answer.stderr:
        raise CatsdogsError("No Docker engine answers: start one, or name it with DOCKER_HOST.")
    return answer


def _docker(*words: str) -> str:
    answer = _run(*words)
    if answer.returncode:
        said = next((line for line in reversed(answer.stderr.splitlines()) if line.strip()), "no reason given")
        raise CatsdogsError(f"docker {words[0]} failed: {said.strip().removesuffix('.')}.")
    return answer.stdout
