"""Releases to Kubernetes: the real kubectl against a small API server that records, answers, and spoils answers."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from catsdogs.clusters import kubectl, kubectl_call
from catsdogs.clusters.cluster import CANDIDATE, NotRolledOut
from catsdogs.clusters.detached import answers
from catsdogs.clusters.kubectl import KubectlCluster
from catsdogs.clusters.process import Processes
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.release.result import ReleaseResult
from catsdogs.release.rollback import rollback
from catsdogs.release.stage import release
from catsdogs.settings.release import ReleaseSettings, RollbackSettings
from tests.release.kube import Deployment, Kube, api_server, wait_until
from tests.release.places import Place, place
from tests.servers import free_port

pytestmark = [
    pytest.mark.xdist_group("kubectl"),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl is installed (Debian: kubernetes-client)"),
]
GOOD, BETTER, FLIPPED, BROKEN = (f"registry.example/api@sha256:{digit * 64}" for digit in "1234")
PUBLIC_NAME = "cats-dogs-api"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, dict[str, int | str]]]:
    """The real service with each of the models, as the images' containers would run it."""
    with ExitStack() as stack:
        here = stack.enter_context(place(tmp_path_factory.mktemp("kube")))
        images: dict[str, int | str] = {BROKEN: "CrashLoopBackOff"}
        for image, name in ((GOOD, "good"), (BETTER, "better"), (FLIPPED, "flipped")):
            processes = Processes(here.folder / "images")
            replica = processes.start(processes.pinned(str(here.models[name])), name)
            stack.callback(processes.stop, replica)
            wait_until(lambda address=replica.address: answers(f"{address}/readyz"), 60)
            images[image] = int(replica.address.rpartition(":")[2])
        yield here, images


@dataclass
class Rig:
    kube: Kube
    here: Place
    cluster: KubectlCluster

    def common(self) -> dict[str, Any]:
        return self.here.common() | {"cluster": "kubectl", "bucket": str(self.here.folder / "bucket")}

    def ship(self, image: str, name: str, **options: Any) -> ReleaseResult:
        return release(ReleaseSettings(**self.here.asked(name) | self.common() | {"image": image} | options))

    def public(self) -> str:
        return self.kube.deployments[PUBLIC_NAME].image


@pytest.fixture
def rig(
    services: tuple[Place, dict[str, int | str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rig]:
    base, images = services
    here = Place(tmp_path, "kubectl", base.models)
    (tmp_path / "eval.csv").write_bytes(base.csv.read_bytes())
    (tmp_path / "eval").symlink_to(base.folder / "eval")
    kube = Kube(dict(images), {PUBLIC_NAME: Deployment(GOOD, 2, GOOD), f"{PUBLIC_NAME}-candidate": Deployment(GOOD, 0)})
    monkeypatch.setattr(kubectl_call, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(kubectl, "POLL_SECONDS", 0.05)
    monkeypatch.setenv("HOME", str(tmp_path))  # where kubectl caches what it discovers
    with api_server(kube, tmp_path) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        cluster = KubectlCluster("cats-dogs", PUBLIC_NAME, None, None)
        try:
            yield Rig(kube, here, cluster)
        finally:
            cluster.close()


def test_a_release_and_its_rollback(rig: Rig) -> None:
    first = rig.ship(BETTER, "better")
    assert first.passed, first.text()
    assert rig.public() == BETTER and rig.kube.deployments[f"{PUBLIC_NAME}-candidate"].replicas == 0
    assert first.report is not None and first.report.champion is not None  # what ran before was asked too
    assert first.report.champion.model_digest == "a" * 64
    assert rig.here.champion() == "b" * 64
    assert rig.ship(GOOD, "good").passed
    back = rollback(RollbackSettings(**rig.common()))
    assert back.passed and rig.public() == BETTER and rig.here.champion() == "b" * 64
    with pytest.raises(CatsdogsError, match="nothing to go back to"):
        rollback(RollbackSettings(**rig.common()))


def test_a_worse_model_is_refused(rig: Rig) -> None:
    result = rig.ship(FLIPPED, "flipped")
    assert not result.passed and "The gate refused it" in result.decision.reasons[0]
    assert rig.public() == GOOD
    assert not any(path.endswith(f"deployments/{PUBLIC_NAME}") for path in rig.kube.patched())
    assert rig.kube.deployments[f"{PUBLIC_NAME}-candidate"].replicas == 0


def test_without_the_gate_it_would_be_public(rig: Rig) -> None:
    assert rig.ship(FLIPPED, "flipped", gate=False).passed and rig.public() == FLIPPED


def test_an_image_that_does_not_start(rig: Rig) -> None:
    rig.kube.logs[BROKEN] = "starting\ncatsdogs serve: models/model.onnx does not exist\n"
    result = rig.ship(BROKEN, "good", model_path=Path("none.onnx"))
    assert not result.passed
    assert result.decision.reasons == [f"The image {BROKEN} does not start: CrashLoopBackOff: back-off"]
    assert result.logs[-1] == "catsdogs serve: models/model.onnx does not exist"
    assert rig.public() == GOOD and rig.kube.deployments[f"{PUBLIC_NAME}-candidate"].replicas == 0


def test_what_fails_in_public_is_restored(rig: Rig) -> None:
    result = rig.ship(BETTER, "better", max_p99_ms=0.001)
    assert not result.passed and result.decision.action == "restored" and rig.public() == GOOD
    assert [path for path in rig.kube.patched() if path.endswith(f"/{PUBLIC_NAME}")] != []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_cluster_that_is_busy_is_asked_again(status: int, rig: Rig) -> None:
    rig.kube.script = [status, status]
    assert rig.cluster.current_image() == GOOD
    rig.kube.script = [status]
    rig.cluster.set_image(BETTER)
    assert rig.public() == BETTER


def test_a_cluster_that_always_fails_is_given_up(rig: Rig) -> None:
    rig.kube.script = [500] * 200
    with pytest.raises(CatsdogsError, match=r"The cluster did not answer kubectl get deployment cats-dogs-api, asked 6 "
                                            r"times: .*the server says 500"):
        rig.cluster.current_image()


def test_a_cluster_that_does_not_answer(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubectl_call, "REQUEST_SECONDS", 1)
    monkeypatch.setattr(kubectl_call, "ATTEMPTS", 2)
    rig.kube.script = [0] * 50
    with pytest.raises(CatsdogsError, match="did not answer kubectl get deployment cats-dogs-api, asked 2 times: "):
        rig.cluster.current_image()
    monkeypatch.setattr(kubectl_call, "ATTEMPTS", 3)
    rig.kube.script = [0]
    assert rig.cluster.current_image() == GOOD


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch, rig: Rig, tmp_path: Path) -> None:
    config = Path(tmp_path / "kubeconfig")
    config.write_text(config.read_text().replace("http://127.0.0.1:", f"http://127.0.0.1:{free_port()}/"))
    with pytest.raises(CatsdogsError, match="The cluster did not answer kubectl get deployment"):
        rig.cluster.current_image()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CatsdogsError, match="kubectl is not installed: .*--cluster docker"):
        rig.cluster.current_image()


def test_what_the_cluster_refuses_is_said_at_once(rig: Rig) -> None:
    missing = KubectlCluster("cats-dogs", "another", None, None)
    before = len(rig.kube.requests)
    with pytest.raises(CatsdogsError, match=r'kubectl get deployment another failed: .*"another" not found'):
        missing.current_image()
    assert sum(path.endswith("another") for _, path in rig.kube.requests[before:]) == 1
    rig.kube.script = [403]
    with pytest.raises(CatsdogsError, match="kubectl get deployment cats-dogs-api failed: "):
        rig.cluster.current_image()


@pytest.mark.parametrize("image", ["registry.example/api:latest", "registry.example/api", "@sha256:" + "1" * 64,
                                   "-x@sha256:" + "1" * 64, "api@sha256:123"])
def test_images_without_a_digest_are_refused(image: str) -> None:
    with pytest.raises(UsageError, match="has no digest: a tag may mean another image tomorrow"):
        KubectlCluster("cats-dogs", PUBLIC_NAME, None, None).pinned(image)


@pytest.mark.parametrize(("ingress", "port", "address"), [
    ({"ip": "203.0.113.5"}, 80, "http://203.0.113.5"), ({"hostname": "lb.example"}, 80, "http://lb.example")])
def test_the_load_balancers_address(ingress: dict[str, str], port: int, address: str, rig: Rig) -> None:
    rig.kube.balancer = {"ingress": [ingress]}
    assert rig.cluster.public_address() == address
    assert KubectlCluster("cats-dogs", PUBLIC_NAME, None, "http://given").public_address() == "http://given"


def test_a_port_forward_carries_photos_and_ends(rig: Rig) -> None:
    address = rig.cluster.start_candidate(BETTER, 20)
    for _ in range(3):
        assert requests.get(f"{address}/health", timeout=10).json()["status"] == "healthy"
    large = requests.post(f"{address}/predict", files={"file": ("x", b"\0" * 3_000_000)}, timeout=30)
    assert large.status_code == 400
    rig.cluster.stop_candidate()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{address}/health", timeout=5)


def test_a_rollout_that_takes_too_long(rig: Rig) -> None:
    rig.kube.images[BROKEN] = "ContainerCreating"
    with pytest.raises(NotRolledOut, match="was not ready within 0.3 s: 0 of 1 replicas are"):
        rig.cluster.start_candidate(BROKEN, 0.3)
    assert rig.cluster.logs(CANDIDATE, 5) == ["cats-dogs-api-candidate-new: ContainerCreating: back-off"]
