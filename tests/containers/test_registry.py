import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from catsdogs.files import sha256_file
from tests.containers.engine import BASE, docker, inspected
from tests.release.images import main
from tests.release.kubernetes import ROLES
from tests.release.places import tiny_models
from tests.servers import free_port

pytestmark = pytest.mark.xdist_group("docker")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Debian's docker-registry on a free port of 127.0.0.1; yields host:port."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed (Debian's package docker-registry)")
    address = f"127.0.0.1:{free_port()}"
    config = tmp_path / "config.yml"
    config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'store'}}}}}\n"
                      f"http: {{addr: {address}}}\n")
    with (tmp_path / "log").open("wb") as log, subprocess.Popen([program, "serve", str(config)], stderr=log,
                                                                stdout=log) as process:
        try:
            for _ in range(400):
                assert process.poll() is None, (tmp_path / "log").read_text()
                try:
                    urllib.request.urlopen(f"http://{address}/v2/", timeout=2).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield address
        finally:
            process.terminate()


def test_an_image_is_pushed_and_pulled_by_its_digest(registry: str, api_image: str) -> None:
    named = f"{registry}/cats-dogs-api:{os.getpid()}"
    before = inspected(api_image)
    docker("tag", api_image, named)
    docker("push", named)
    (reference,) = [text for text in inspected(api_image)["RepoDigests"] if text.startswith(registry)]
    docker("rmi", named)
    docker("pull", reference)
    try:
        pulled = inspected(reference)
        assert pulled["Id"] == before["Id"] and pulled["Config"]["Labels"] == before["Config"]["Labels"]
        checked = docker("run", "--rm", reference, "catsdogs", "lineage", "models/model.pt", "--check").stdout
        assert "answered as in training" in checked
    finally:
        docker("rmi", reference)


def test_the_images_for_releases_on_a_real_cluster(registry: str, tmp_path: Path) -> None:
    """Each with its model, pushed by digest. Their base is an empty one here: what they add is what counts."""
    roles = ("flipped", "dying")
    made = main(BASE, f"{registry}/catsdogs-test", roles)
    try:
        assert set(roles) < set(ROLES) and len(set(made.values())) == 2
        assert all(image.startswith(f"{registry}/catsdogs-test@sha256:") for image in made.values())
        printed = docker("run", "--rm", made["flipped"], "sha256sum", "/app/models/model.onnx").stdout.split()[0]
        assert printed == sha256_file(tiny_models(tmp_path)["flipped"])  # made anew, it is the same file
        started = inspected(made["dying"])["Config"]
        assert started["Cmd"] == ["python", "/dying.py"] and started["User"] == "10001:10001"
    finally:
        docker("rmi", "--force", *(f"{registry}/catsdogs-test:{role}" for role in roles), check=False)
