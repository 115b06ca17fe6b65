"""Ray gives what this machine's processes give, byte for byte, also when it loses workers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from catsdogs.errors import BadImage, CatsdogsError
from catsdogs.ray_cluster import STORE_BYTES, Cluster, connected
from catsdogs.seal import FILE_NAME
from catsdogs.settings.cluster import keep_to_itself, own_token
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from tests.buckets import KINDS, Servers, environment, new_bucket
from tests.chains import in_bucket, in_folders, planted
from tests.ray_cluster import work
from tests.versions.folders import pushed, tree

pytestmark = pytest.mark.xdist_group("ray")


@dataclass(frozen=True)
class Machines:
    """Two raylets with one core each, joined as machines are: by an address."""

    engine: Cluster
    stores: Servers
    lose_one: Callable[[], None]


@pytest.fixture(scope="module")
def machines(object_servers: Servers) -> Iterator[Machines]:
    """For all tests: stages find Ray running and leave it so. Its processes know the way to both object stores."""
    with pytest.MonkeyPatch.context() as patch, own_token():
        variables = environment("gs", object_servers.gs) | environment("s3", object_servers.s3)
        # A machine that is gone refuses at once and is given up after 3 s; one that is merely busy has ten each time.
        noticed = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "6"}
        for name, value in (variables | noticed).items():
            patch.setenv(name, value)
        keep_to_itself()
        started, other = _two_raylets()
        try:
            with connected(started.address, 0) as engine:
                yield Machines(engine, object_servers, lambda: started.remove_node(other, allow_graceful=False))
            import ray

            assert not ray.is_initialized()
        finally:
            started.shutdown()


def _two_raylets(attempts: int = 3) -> tuple[Any, Any]:
    """A cluster and the second of its nodes. Ray gives a node up that is not there after 30 s: a busy machine is."""
    from ray.cluster_utils import Cluster as RayCluster

    options = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    started = RayCluster()
    for attempt in range(1, attempts + 1):
        try:
            started.add_node(**options)
            return started, started.add_node(**options)
        except Exception:  # Ray raises plain ones
            started.shutdown()
            started = RayCluster()
            if attempt == attempts:
                raise
    raise AssertionError("unreachable")


@pytest.fixture
def cluster(machines: Machines) -> Cluster:
    return machines.engine


def test_answers_come_in_order_and_few_are_under_way(cluster: Cluster) -> None:
    asked = 0

    def tasks() -> Iterator[int]:
        nonlocal asked
        for number in range(60):
            asked += 1
            yield number

    for place, answer in enumerate(cluster.map(work.plus, 1000, tasks())):
        assert answer == 1000 + place
        assert asked <= place + 1 + 4 * 2


def test_what_all_tasks_share_reaches_each_worker_once(cluster: Cluster) -> None:
    seen = set(cluster.map(work.process_and_copy, {"rows": list(range(1000))}, range(30)))
    assert len(seen) == len({process for process, _ in seen}) <= 2


def test_the_first_error_ends_the_run_as_itself(cluster: Cluster) -> None:
    with pytest.raises(BadImage) as caught:
        list(cluster.map(work.refuse, "broken", range(20)))
    assert caught.value.reason == "broken"
    with pytest.raises(CatsdogsError, match="^one sentence$"):
        list(cluster.map(work.fail, "one sentence", range(3)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_worker_changes_nothing(
    kind: str, machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL of the process that works, in the middle of each stage; shards and trees come out the same too."""
    buckets = {}
    for name in ("local", "ray"):
        buckets[name] = new_bucket(kind, machines.stores, tmp_path / name)
        planted(tmp_path / name / "data" / "raw", 12)
        pushed(tmp_path / name, buckets[name], stage=["raw"])
    in_bucket(buckets["local"], tmp_path / "local" / "cache")
    monkeypatch.setattr("catsdogs.ingest.versioned.CHUNK", 8)
    killed: list[Path] = []
    usual = Cluster.map

    def kills(self: Cluster, task: Callable[[object, object], object], shared: object,
              tasks: list[object]) -> Iterator[object]:
        mark = tmp_path / f"{len(killed)}.killed"
        killed.append(mark)
        yield from usual(self, work.dying_once, (task, shared, str(mark)), tasks)
        assert mark.exists()

    monkeypatch.setattr(Cluster, "map", kills)
    in_bucket(buckets["ray"], tmp_path / "ray" / "cache", engine="ray")
    assert len(killed) == 2
    monkeypatch.undo()
    assert objects(buckets["ray"]) == objects(buckets["local"])


def digests(sealed: bytes) -> dict[str, str]:
    """Without the inodes and the times of their files."""
    return {name: digest for name, (digest, *_) in json.loads(sealed).items()}


def objects(bucket: str) -> dict[str, bytes | str]:
    """What a bucket holds; of a version's manifest, which says when it was written, the digest of its tree."""
    store = open_store(BucketSettings(bucket=bucket))
    return {entry.key: str(json.loads(store.read(entry.key))["tree_digest"]) if entry.key.endswith("manifest.json")
            else store.read(entry.key) for entry in store.entries("")}


def test_a_worker_killed_from_outside_is_replaced(cluster: Cluster, tmp_path: Path) -> None:
    """Nothing in our code helps it to die: another process sends SIGKILL while it works."""
    answers = []
    for place, (number, process) in enumerate(cluster.map(work.slow_number, None, range(24))):
        answers.append(number)
        if place == 3:
            os.kill(process, signal.SIGKILL)
    assert answers == list(range(24))


def test_a_task_that_kills_every_worker_ends_the_run(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catsdogs.ray_cluster.LOSSES", 1)  # each new worker takes seconds on a busy machine
    with pytest.raises(CatsdogsError, match=r"lost the worker of one task 2 times.*fewer --workers"):
        list(cluster.map(work.die, None, range(1)))


def test_a_lost_machine_changes_nothing(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the two is killed in the middle of the work, and folders still come out the same."""
    for name in ("local", "ray"):
        planted(tmp_path / name / "data" / "raw", 12)
    in_folders(tmp_path / "local")
    monkeypatch.setattr("catsdogs.ingest.stage.CHUNK", 4)
    answered: list[object] = []
    usual = Cluster.map

    def loses(self: Cluster, task: Callable[[object, object], object], shared: object,
              tasks: list[object]) -> Iterator[object]:
        for answer in usual(self, work.slowly, (task, shared), tasks):
            answered.append(answer)
            if len(answered) == 3:
                machines.lose_one()
            yield answer

    monkeypatch.setattr(Cluster, "map", loses)
    in_folders(tmp_path / "ray", engine="ray")
    import ray

    assert len(answered) > 6
    assert [node["Alive"] for node in ray.nodes()].count(True) == 1
    there, here = (tree(tmp_path / name / "data") for name in ("ray", "local"))
    seals = [name for name in here if name.endswith(FILE_NAME)]
    assert [digests(there.pop(name)) for name in seals] == [digests(here.pop(name)) for name in seals] != []
    assert there == here


def test_the_command_starts_a_ray_of_its_own_and_ends_it(tmp_path: Path) -> None:
    planted(tmp_path / "data" / "raw")
    line = [sys.executable, "-m", "catsdogs", "ingest", "--engine", "ray", "--workers", "1", "--max-bad-share", "0.5"]
    answer = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=200,
                            env=os.environ | {"HOME": str(tmp_path)})
    assert answer.returncode == 0, answer.stderr
    assert not (tmp_path / ".ray").exists()  # no secret is left behind
    assert (tmp_path / "data" / "ingested" / "manifest.csv").exists()
    assert all(text.startswith("{") for text in answer.stderr.splitlines())


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://somewhere", "nothing"])
def test_an_address_where_nobody_answers(address: str, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "catsdogs", "ingest", "--engine", "ray", "--ray-address", address]
    answer = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"catsdogs ingest: --ray-address {address}: no Ray cluster answers there (")


def test_without_ray_the_extra_is_named(tmp_path: Path) -> None:
    code = ("import sys; sys.modules['ray'] = None\nfrom catsdogs.cli import main\n"
            "sys.exit(main(['ingest', '--engine', 'ray']))")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert answer.returncode == 1
    assert answer.stderr == "catsdogs ingest: ray is not installed: pip install 'catsdogs[ray]'.\n"


def test_the_local_engine_loads_no_ray() -> None:
    code = "import sys, catsdogs.ingest.stage, catsdogs.preprocess.stage; print('ray' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert answer.stdout == "False\n"
