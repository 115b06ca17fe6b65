"""A real Docker engine, spoken to through its own command line. DOCKER_HOST names another than the default."""

import functools
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BASE = "python:3.11-slim-bookworm"
LIMIT_MB = 350
HARDENED = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]


@functools.cache
def missing() -> str:
    """Why no image can be built here; empty where one can."""
    try:
        client()
    except LookupError as error:
        return str(error)
    answer = subprocess.run([client(), "info"], capture_output=True, text=True, env=environment())
    return "" if answer.returncode == 0 else "no Docker engine answers (DOCKER_HOST names one)"


@functools.cache
def client() -> str:
    """The first docker on PATH that can build with BuildKit. Raises LookupError."""
    for folder in os.environ["PATH"].split(os.pathsep):
        if (found := shutil.which("docker", path=folder)) is None:
            continue
        version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout.split()[2]
        if int(version.split(".")[0]) < 23:  # brings BuildKit itself; later ones need the plugin
            return found
        if subprocess.run([found, "buildx", "version"], capture_output=True).returncode == 0:
            return found
    raise LookupError("no docker with BuildKit is installed")


def environment() -> dict[str, str]:
    """For commands that call docker by its name."""
    return os.environ | {"DOCKER_BUILDKIT": "1", "PATH": f"{Path(client()).parent}{os.pathsep}{os.environ['PATH']}"}


def docker(*arguments: str, check: bool = True, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    answer = subprocess.run(["docker", *arguments], capture_output=True, text=True, env=environment(), cwd=cwd)
    assert answer.returncode == 0 or not check, f"$ docker {arguments}\n{answer.stdout}\n{answer.stderr[-5000:]}"
    return answer


def inspected(name: str) -> dict[str, Any]:
    """What the engine knows of an image or a container."""
    found: dict[str, Any] = json.loads(docker("inspect", name).stdout)[0]
    return found


@contextmanager
def container(image: str, *command: str, options: list[str] = HARDENED) -> Iterator[str]:
    """Start in the background; removed with its volumes at the end."""
    name = f"catsdogs-test-{uuid.uuid4().hex[:12]}"
    docker("run", "--detach", "--name", name, *options, image, *command)
    try:
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


def wait_for(name: str, path: str, wanted: str, seconds: float = 120) -> None:
    """Wait until a part of the container's state (`Health.Status`) is as wanted."""
    deadline = time.monotonic() + seconds
    while (state := docker("inspect", "--format", f"{{{{.State.{path}}}}}", name).stdout.strip()) != wanted:
        assert time.monotonic() < deadline, f"{path} is {state!r}\n{docker('logs', name).stderr}"
        time.sleep(0.2)
