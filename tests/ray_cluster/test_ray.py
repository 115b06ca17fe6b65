"""Ray gives what this machine's processes give, byte for byte, also when it loses workers."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catsdogs.ray_cluster import LOSSES, Cluster, connected
from catsdogs.errors import BadImage, CatsdogsError
from tests.chains import in_bucket, in_folders, planted
from tests.ray_cluster import work
from tests.versions.folders import pulled, pushed, tree

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One Ray of two workers for all tests; stages find it and leave it running."""
    with connected(None, 2) as running:
        yield running
    import ray

    assert not ray.is_initialized()


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


def test_folders_come_out_the_same(cluster: Cluster, tmp_path: Path) -> None:
    for name in ("local", "ray"):
        planted(tmp_path / name / "data" / "raw")
        in_folders(tmp_path / name, engine=name)
    assert tree(tmp_path / "ray" / "data") == tree(tmp_path / "local" / "data")


def test_versions_come_out_the_same(cluster: Cluster, tmp_path: Path) -> None:
    for name in ("local", "ray"):
        planted(tmp_path / name / "data" / "raw")
        bucket = str(tmp_path / name / "bucket")
        pushed(tmp_path / name, bucket, stage=["raw"])
        in_bucket(bucket, tmp_path / name / "cache", engine=name)
        pulled(tmp_path / name / "back", bucket)
    assert tree(tmp_path / "ray" / "back") == tree(tmp_path / "local" / "back")
    manifests = {name: {path: data for path, data in tree(tmp_path / name / "bucket").items()
                        if "/c1/" not in path} for name in ("local", "ray")}
    assert manifests["ray"] == manifests["local"]  # shards and trees too


def test_a_killed_worker_changes_nothing(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL of the process that works, in the middle of each stage."""
    for name in ("local", "ray"):
        planted(tmp_path / name / "data" / "raw", 40)
        pushed(tmp_path / name, str(tmp_path / name / "bucket"), stage=["raw"])
    in_bucket(str(tmp_path / "local" / "bucket"), tmp_path / "local" / "cache")
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
    in_bucket(str(tmp_path / "ray" / "bucket"), tmp_path / "ray" / "cache", engine="ray")
    assert len(killed) == 2
    monkeypatch.undo()
    for name in ("local", "ray"):
        pulled(tmp_path / name / "back", str(tmp_path / name / "bucket"))
    assert tree(tmp_path / "ray" / "back") == tree(tmp_path / "local" / "back")


def test_a_worker_killed_from_outside_is_replaced(cluster: Cluster, tmp_path: Path) -> None:
    """Nothing in our code helps it to die: another process sends SIGKILL while it works."""
    answers = []
    for place, (number, process) in enumerate(cluster.map(work.slow_number, None, range(24))):
        answers.append(number)
        if place == 3:
            os.kill(process, signal.SIGKILL)
    assert answers == list(range(24))


def test_a_task_that_kills_every_worker_ends_the_run(cluster: Cluster) -> None:
    with pytest.raises(CatsdogsError, match=rf"lost the worker of one task {LOSSES + 1} times.*fewer --workers"):
        list(cluster.map(work.die, None, range(1)))


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
