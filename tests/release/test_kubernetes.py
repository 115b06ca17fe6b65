"""Releases to Kubernetes with the real kubectl. Each test runs on an API server of our own; where KUBECONFIG names a
cluster, the same tests run there too, in a namespace that is thrown away (tests/release/kubernetes.py).
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from catsdogs.clusters import kubectl
from catsdogs.clusters.cluster import CANDIDATE, NotRolledOut
from catsdogs.clusters.kubectl import KubectlCluster
from catsdogs.errors import CatsdogsError
from catsdogs.release.result import ReleaseResult
from catsdogs.release.rollback import rollback
from catsdogs.release.stage import release
from catsdogs.settings.release import ReleaseSettings, RollbackSettings
from tests.release.kubernetes import KINDS, PUBLIC, Kubernetes, fake_images, given_images, kubernetes
from tests.release.places import Place, place
from tests.servers import ROOT

pytestmark = [
    pytest.mark.xdist_group("kubectl"),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl is installed (Debian: kubernetes-client)"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("models")) as here:
        yield here


@pytest.fixture(scope="module", params=KINDS)
def cluster(
    request: pytest.FixtureRequest, models: Place, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kubernetes]:
    with kubernetes(request.param, models, tmp_path_factory.mktemp("kubernetes")) as found:
        yield found


@dataclass
class Rig:
    cluster: Kubernetes
    here: Place

    def common(self) -> dict[str, Any]:
        return self.here.common() | {
            "cluster": "kubectl", "bucket": str(self.here.folder / "bucket"), "namespace": self.cluster.namespace,
            "ready_seconds": self.cluster.seconds, "rollout_seconds": self.cluster.seconds}

    def ship(self, role: str, **options: Any) -> ReleaseResult:
        asked = self.here.asked("good" if role in ("broken", "dying") else role) | self.common()
        return release(ReleaseSettings(**asked | {"image": self.cluster.images[role]} | options))

    def take_back(self) -> ReleaseResult:
        return rollback(RollbackSettings(**self.common()))

    def public(self) -> str:
        """Role of the image that answers users."""
        image = self.cluster.deployment()["spec"]["template"]["spec"]["containers"][0]["image"]
        return next(role for role, name in self.cluster.images.items() if name == image)

    def candidates(self) -> int:
        return int(self.cluster.deployment(f"{PUBLIC}-{CANDIDATE}")["spec"]["replicas"])

    def opened(self) -> KubectlCluster:
        return KubectlCluster(self.cluster.namespace, PUBLIC, None, None)


@pytest.fixture
def rig(cluster: Kubernetes, models: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    here = Place(tmp_path, "kubectl", models=models.models)
    (tmp_path / "eval.csv").write_bytes(models.csv.read_bytes())
    (tmp_path / "eval").symlink_to(models.folder / "eval")
    monkeypatch.setenv("KUBECONFIG", cluster.kubeconfig)
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path))
    monkeypatch.setattr(kubectl, "POLL_SECONDS", 0.05 if cluster.images == fake_images() else 1.0)
    cluster.restore()
    yield Rig(cluster, here)


def test_a_release_and_its_rollback(rig: Rig) -> None:
    first = rig.ship("better")
    assert first.passed, first.text()
    assert rig.public() == "better" and rig.candidates() == 0
    assert first.report is not None and first.report.champion is not None  # what ran before was asked too
    assert first.report.champion.model_digest == "a" * 64
    assert rig.here.champion() == "b" * 64
    assert rig.ship("good", watch_seconds=0).passed
    back = rig.take_back()
    assert back.passed and rig.public() == "better" and rig.here.champion() == "b" * 64
    with pytest.raises(CatsdogsError, match="nothing to go back to"):
        rig.take_back()


def test_a_worse_model_is_refused(rig: Rig) -> None:
    before = rig.cluster.deployment()["metadata"]["generation"]
    result = rig.ship("flipped")
    assert not result.passed and "The gate refused it" in result.decision.reasons[0]
    assert rig.public() == "good" and rig.candidates() == 0
    assert rig.cluster.deployment()["metadata"]["generation"] == before  # nobody even touched it


def test_without_the_gate_it_would_be_public(rig: Rig) -> None:
    assert rig.ship("flipped", gate=False, watch_seconds=0).passed and rig.public() == "flipped"


def test_an_image_that_does_not_start(rig: Rig) -> None:
    result = rig.ship("broken", model_path=Path("none.onnx"))
    assert not result.passed
    assert f"The image {rig.cluster.images['broken']} does not start: CrashLoopBackOff" in result.decision.reasons[0]
    assert any("Golden photo 0 is answered" in line for line in result.logs), result.logs
    assert rig.public() == "good" and rig.candidates() == 0


def test_what_fails_in_public_is_restored(rig: Rig) -> None:
    result = rig.ship("better", max_p99_ms=0.001)
    assert not result.passed and result.decision.action == "restored" and rig.public() == "good"


def test_a_replica_that_ends_while_the_others_answer_is_restored(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catsdogs.release.watch.LOOK_SECONDS", 0.2)
    result = rig.ship("dying", watch_seconds=90, max_error_rate=0.9)
    assert not result.passed and result.decision.action == "restored" and rig.public() == "good"
    assert result.decision.reasons[0].startswith("A public replica failed while it was watched: cats-dogs-api-")
    assert "ended (Error, status 3) and was started again" in result.decision.reasons[0]
    assert "catsdogs serve: cannot go on" in result.logs  # of the container that ended, not of the one after it


def test_a_port_forward_carries_photos_and_ends(rig: Rig) -> None:
    cluster = rig.opened()
    address = cluster.start_candidate(rig.cluster.images["better"], rig.cluster.seconds)
    for _ in range(3):
        assert requests.get(f"{address}/health", timeout=10).json()["status"] == "healthy"
    large = requests.post(f"{address}/predict", files={"file": ("x", b"\0" * 3_000_000)}, timeout=30)
    assert large.status_code == 400
    cluster.stop_candidate()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{address}/health", timeout=5)


def test_a_rollout_that_takes_too_long(rig: Rig) -> None:
    cluster = rig.opened()
    with pytest.raises(NotRolledOut, match="was not ready within -1 s: 0 of 1 replicas are|does not start"):
        cluster.start_candidate("registry.invalid/nowhere@sha256:" + "0" * 64, -1)
    cluster.stop_candidate()


def test_what_is_not_there_is_said(rig: Rig) -> None:
    missing = KubectlCluster(rig.cluster.namespace, "another", None, None)
    with pytest.raises(CatsdogsError, match=r'kubectl get deployment another failed: .*"another" not found'):
        missing.current_image()


def test_where_kubeconfig_names_a_cluster_the_same_tests_run_there(cluster: Kubernetes, tmp_path: Path) -> None:
    """KUBECONFIG and images as a person gives them; the cluster behind it is a process that knows nothing of tests."""
    test = f"{Path(__file__).relative_to(ROOT)}::{test_what_is_not_there_is_said.__name__}"
    given = {"KUBECONFIG": cluster.kubeconfig, "CATSDOGS_TEST_IMAGES": json.dumps(cluster.images),
             "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # without what it needs not: 2 s instead of 6
    answer = subprocess.run([sys.executable, "-m", "pytest", "-v", "--noconftest", "-p", "no:cacheprovider", "-p",
                             "xdist", f"{test}[kubeconfig]"], cwd=ROOT, env=os.environ | given, capture_output=True,
                            text=True)
    assert answer.returncode == 0 and "1 passed" in answer.stdout, answer.stdout


def test_a_cluster_without_images_for_it_is_skipped_with_what_makes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CATSDOGS_TEST_IMAGES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="python -m tests.release.images"):
        given_images()
    monkeypatch.setenv("CATSDOGS_TEST_IMAGES", '{"good": "x"}')
    with pytest.raises(AssertionError, match="names .'good'., needed are"):
        given_images()
