"""How kubectl is called: the real one against an API server that records, answers, and spoils answers."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from catsdogs.clusters import kubectl, kubectl_call
from catsdogs.clusters.cluster import CANDIDATE, NotRolledOut
from catsdogs.clusters.kubectl import KubectlCluster
from catsdogs.errors import CatsdogsError, UsageError
from tests.release.kube import LEAVING, Deployment, Kube
from tests.release.kube_server import api_server
from tests.servers import free_port

pytestmark = [
    pytest.mark.xdist_group("kubectl"),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl is installed (Debian: kubernetes-client)"),
]
GOOD, BETTER, BROKEN = (f"registry.example/api@sha256:{digit * 64}" for digit in "124")
PUBLIC_NAME = "cats-dogs-api"


@dataclass
class Rig:
    kube: Kube
    cluster: KubectlCluster

    def public(self) -> str:
        return self.kube.deployments[PUBLIC_NAME].image


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    images: dict[str, int | str] = {GOOD: 1, BETTER: 1, BROKEN: "ContainerCreating"}
    kube = Kube(images, {PUBLIC_NAME: Deployment(GOOD, 2, GOOD), f"{PUBLIC_NAME}-candidate": Deployment(GOOD, 0)})
    monkeypatch.setattr(kubectl_call, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(kubectl, "POLL_SECONDS", 0.05)
    monkeypatch.setenv("HOME", str(tmp_path))  # where kubectl caches what it discovers
    with api_server(kube, tmp_path) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        cluster = KubectlCluster("cats-dogs", PUBLIC_NAME, None, None)
        try:
            yield Rig(kube, cluster)
        finally:
            cluster.close()


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


def test_a_rollout_that_takes_too_long(rig: Rig) -> None:
    with pytest.raises(NotRolledOut, match="was not ready within 0.3 s: 0 of 1 replicas are"):
        rig.cluster.start_candidate(BROKEN, 0.3)
    assert rig.cluster.logs(CANDIDATE, 5) == ["cats-dogs-api-candidate-new: ContainerCreating: back-off"]


def test_a_rollout_is_over_when_the_pods_of_the_image_before_have_ended(rig: Rig) -> None:
    """Told to go they answer for ten more seconds; on a lost node they are listed for ever, but answer nobody."""
    rig.cluster.set_image(BETTER)
    rig.cluster.wait_rolled_out(30)
    assert rig.kube.deployments[PUBLIC_NAME].seen > LEAVING
    rig.cluster.set_image(GOOD)
    with pytest.raises(NotRolledOut, match=f"Another image than {GOOD} still answers after 0 s: cats-dogs-api-old"):
        rig.cluster.wait_rolled_out(0)
