import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import docker, inspected
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
