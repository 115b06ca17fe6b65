"""The Docker engine that the rehearsal builds and runs with, through its own command line."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

BUILDKIT_INSIDE = 23
"""Clients before this version bring BuildKit themselves; from it on they need the plugin buildx."""


@functools.cache
def client() -> str | None:
    """The first docker on PATH that can build with BuildKit; None where there is none."""
    for folder in os.environ["PATH"].split(os.pathsep):
        found = shutil.which("docker", path=folder)
        if found is None:
            continue
        version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout.split()[2]
        if int(version.split(".")[0]) < BUILDKIT_INSIDE or _docker(found, "buildx", "version").returncode == 0:
            return found
    return None


def missing() -> list[str]:
    """One sentence for each program that the rehearsal needs and this machine lacks."""
    found = []
    docker = client()
    if docker is None:
        found.append("No docker with BuildKit is installed: apt-get install docker.io docker-buildx.")
    elif _docker(docker, "info").returncode != 0:
        host = os.environ.get("DOCKER_HOST", "its usual socket")
        found.append(f"No Docker engine answers at {host}: start one, or name it with DOCKER_HOST.")
    if shutil.which("docker-registry") is None:
        found.append("docker-registry is not installed: apt-get install docker-registry.")
    return found


def path() -> str:
    """PATH on which `docker` is that client."""
    return os.pathsep.join([*([str(Path(found).parent)] if (found := client()) else []), os.environ["PATH"]])


def forget_images(registry: str) -> None:
    """Remove what was tagged for this registry; the build cache stays, and makes the next rehearsal faster."""
    docker = client() or "docker"
    listed = _docker(docker, "image", "ls", "--format", "{{.Repository}} {{.ID}}").stdout
    ids = {line.split()[1] for line in listed.splitlines() if line.startswith(f"{registry}/")}
    if ids:
        _docker(docker, "image", "rm", "--force", *sorted(ids))


def _docker(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)
