import json
import signal
import socket
import subprocess
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from catsdogs.files import sha256_file
from catsdogs.images import encode
from tests.checkouts import git
from tests.containers.engine import BASE, HARDENED, LIMIT_MB, container, docker, environment, inspected, wait_for
from tests.e2e.test_readme import commands
from tests.models import colour_photo
from tests.photos import write
from tests.servers import ROOT, free_port

pytestmark = pytest.mark.xdist_group("docker")
LATEST = "cats-dogs-api:latest"


@pytest.fixture(scope="module")
def running(api_image: str) -> Iterator[tuple[str, str]]:
    """A container as locked down as in the cluster, healthy; its name and address."""
    with container(api_image, options=[*HARDENED, "--publish", "127.0.0.1::8080"]) as name:
        wait_for(name, "Health.Status", "healthy")
        yield name, "http://" + docker("port", name, "8080").stdout.split()[0]


def inside(name: str, *command: str) -> subprocess.CompletedProcess[str]:
    return docker("exec", name, *command, check=False)


@pytest.fixture
def latest_as_before() -> Iterator[None]:
    """The specification's tag belongs to whoever owns the engine: what it named, it names again afterwards."""
    before = docker("image", "inspect", "--format", "{{.Id}}", LATEST, check=False).stdout.strip()
    yield
    if before:
        docker("tag", before, LATEST)
    else:
        docker("rmi", LATEST, check=False)


def port_8080_is_free() -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", 8080))
        except OSError:
            return False
    return True


def test_the_specifications_lines(checkout: Path, tmp_path: Path, latest_as_before: None) -> None:
    """Word for word, but for the machine's port where 8080 is taken."""
    build, run = commands("docker")[:2]
    ask = [line for line in commands("ask") if line.startswith("curl ")]
    assert len(ask) == 2
    port = "8080" if port_8080_is_free() else str(free_port())
    shell = {"cwd": checkout, "env": environment(), "text": True}
    built = subprocess.run(["bash", "-c", build], capture_output=True, **shell)  # type: ignore[call-overload]
    assert built.returncode == 0, built.stderr[-5000:]
    photo = write(tmp_path / "photo.png", encode(colour_photo(1, 5)))
    with subprocess.Popen(["bash", "-c", "exec " + run.replace("8080:8080", f"{port}:8080")],
                          stderr=subprocess.PIPE, **shell) as process:  # type: ignore[call-overload]
        try:
            wait_until_it_answers(int(port), process)
            answers = [subprocess.run(
                ["bash", "-c", line.replace(":8080", f":{port}").replace("path/to/image.jpg", str(photo))],
                capture_output=True, check=True, **shell).stdout for line in ask]  # type: ignore[call-overload]
        finally:
            process.send_signal(signal.SIGTERM)  # docker passes it on to the container
            process.communicate(timeout=60)
    health, prediction = (json.loads(answer) for answer in answers)
    assert health["status"] == "healthy" and health["model_loaded"] is True
    assert prediction["label"] == "dog" and prediction["model_loaded"] is True
    assert prediction.keys() >= {"label", "confidence", "probabilities", "model_loaded"}


def wait_until_it_answers(port: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, f"docker run ended: {process.stderr.read() if process.stderr else ''}"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the container did not become ready")


def test_it_is_nobody_who_may_write_nothing(running: tuple[str, str]) -> None:
    name, _ = running
    assert inside(name, "id", "-u").stdout.strip() == "10001" and inside(name, "id", "-g").stdout.strip() == "10001"
    assert inspected(name)["Config"]["User"] == "10001:10001"
    assert "Read-only file system" in inside(name, "touch", "/app/models/x").stderr
    assert inside(name, "touch", "/tmp/x").returncode == 0


def test_it_serves_while_everything_is_locked(running: tuple[str, str]) -> None:
    _, address = running
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="p"\r\n\r\n' + encode(
        colour_photo(0, 5)) + b"\r\n--b--\r\n"
    request = urllib.request.Request(f"{address}/predict", body, {"Content-Type": "multipart/form-data; boundary=b"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["label"] == "cat"


def test_nothing_of_training_and_no_compiler_is_inside(running: tuple[str, str]) -> None:
    name, _ = running
    code = ("import importlib.util as u; print([m for m in ('torch', 'mlflow', 'onnx', 'dvc', 'scipy', 'sklearn', "
            "'matplotlib', 'pip') if u.find_spec(m)])")
    assert inside(name, "python", "-c", code).stdout.strip() == "[]"
    assert inside(name, "sh", "-c", "command -v gcc cc g++ make git").stdout == ""
    assert inside(name, "ls", "-A", "/app").stdout.split() == ["models"]


def test_what_is_not_inside_is_named(running: tuple[str, str]) -> None:
    name, _ = running
    ingest = inside(name, "catsdogs", "ingest", "--source-dir", "/app/models", "--output-dir", "/tmp/out")
    assert ingest.returncode == 1
    assert ingest.stderr.strip() == "catsdogs ingest: imagehash is not installed: pip install 'catsdogs[photos]'."


def test_it_ends_in_time_when_told_to(running: tuple[str, str]) -> None:
    """Last of those that use `running`: SIGTERM to the first process; 137 would mean that it had to be killed."""
    name, _ = running
    docker("stop", "--time", "60", name)
    state = inspected(name)["State"]
    assert state["ExitCode"] in (0, 143) and not state["OOMKilled"]


def test_it_is_small(api_image: str) -> None:
    added = (inspected(api_image)["Size"] - inspected(BASE)["Size"]) / 1e6
    assert 50 < added <= LIMIT_MB


def test_its_labels_say_what_it_is(checkout: Path, api_image: str) -> None:
    labels = inspected(api_image)["Config"]["Labels"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert labels["org.opencontainers.image.version"] == project["version"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    assert labels["org.opencontainers.image.source"] == "https://example.org/catsdogs"
    assert labels["org.opencontainers.image.revision"] == git(checkout, "rev-parse", "HEAD").strip()
    assert labels["catsdogs.model.digest"] == f"sha256:{sha256_file(checkout / 'models/model.pt')}"


def test_a_model_that_is_missing_is_never_served(api_image: str) -> None:
    with container(api_image, options=[*HARDENED, "--env", "MODEL_PATH=/app/models/other.pt"]) as name:
        wait_for(name, "Status", "exited")
        assert inspected(name)["State"]["ExitCode"] == 1
        assert "/app/models/other.onnx does not exist" in docker("logs", name).stderr


def test_another_port_is_known_to_the_health_check(api_image: str) -> None:
    with container(api_image, options=[*HARDENED, "--env", "CATSDOGS_SERVE_PORT=9000"]) as name:
        wait_for(name, "Health.Status", "healthy")
