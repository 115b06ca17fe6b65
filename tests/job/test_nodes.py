"""The Job of several nodes with the manifest's own arguments: each node a process group of this machine, which is
killed as a machine is taken away, and started again with an empty disk as the cluster makes a pod again.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from catsdogs.errors import CatsdogsError
from catsdogs.job.attempt import attempt
from catsdogs.job.together import TRIES, NotTogether, together, words
from catsdogs.settings.job import JobSettings
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from tests.job.test_job import upload
from tests.k8s.render import get, render
from tests.photos import write_raw
from tests.servers import free_port

pytestmark = pytest.mark.xdist_group("nodes")
EPOCHS = 10
SMALL = {"IMAGE_SIZE": "32", "EPOCHS": str(EPOCHS), "BATCH_SIZE": "8", "FORCE_CPU": "true", "PRECISION": "float32",
         "DOCTOR_WARNS": "true", "MEET_SECONDS": "120"}
HERE = {"CATSDOGS_INGEST_WORKERS": "1", "CATSDOGS_PREPROCESS_WORKERS": "1", "CATSDOGS_DOCTOR_WORKERS": "1"}
# Processes of their own cost more than they do for 80 photos.
PASSING = {"MIN_ACCURACY": "0", "MIN_SLICE_ACCURACY": "0", "MAX_CALIBRATION_ERROR": "1", "MAX_LATENCY_MS": "10000"}
SECONDS = 240.0


class Node:
    """A pod: its output so far, and a disk of its own."""

    def __init__(self, container: dict[str, list[str]], rank: int, port: int, bucket: Path, disk: Path) -> None:
        replaced = {"--rank=$(NODE_RANK)": f"--rank={rank}", "--model-variant=fast": "--model-variant=baseline",
                    "--meet=distributed-train-job-0.distributed-train-job:29500": f"--meet=127.0.0.1:{port}",
                    "--unpacked": "--no-unpacked", "--work-dir=/app/data/job": f"--work-dir={disk}",
                    "--fixes=/app/fixes.yaml": f"--fixes={os.devnull}"}
        assert replaced.keys() <= set(container["args"])
        environment = os.environ | HERE | {f"CATSDOGS_JOB_{name}": value for name, value in SMALL.items()} | {
            f"CATSDOGS_GATE_{name}": value for name, value in PASSING.items()} | {
            "CATSDOGS_BUCKET": str(bucket), "CATSDOGS_COMMIT": "f" * 40, "MLFLOW_TRACKING_URI": "none",
            "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CATSDOGS_DOCTOR_MAX_ODD_SHARE": "1"}
        command = [str(Path(sys.executable).parent / container["command"][0]),
                   *(replaced.get(word, word) for word in container["args"])]
        self.process = subprocess.Popen(command, env=environment, cwd=bucket.parent, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            self.said.extend(lines)

    def has_said(self, words: str) -> bool:
        return any(words in line for line in list(self.said))

    def taken_away(self) -> None:
        """All its processes at once, without a warning; torchrun's have sessions of their own."""
        for pid in [self.process.pid, *_below(self.process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self._reader.join(10)

    def ended(self) -> int:
        return self.process.wait(SECONDS)


def _below(pid: int) -> list[int]:
    children = [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children")
                for child in task.read_text().split()]
    return [found for child in children for found in (child, *_below(child))]


@contextmanager
def nodes() -> Iterator[list[Node]]:
    """Every node that was started, the newest of each last; all of them are gone at the end."""
    started: list[Node] = []
    try:
        yield started
    finally:
        for node in started:
            node.taken_away()


def wait_for(condition: object, running: list[Node]) -> None:
    assert callable(condition)
    deadline = time.monotonic() + SECONDS
    while not condition():
        texts = ["".join(node.said)[-2500:] for node in running]
        assert time.monotonic() < deadline and all(node.process.poll() is None for node in running), texts
        time.sleep(0.02)


def test_the_first_of_two_nodes_is_taken_away_and_both_go_on_from_the_checkpoint(tmp_path: Path) -> None:
    """The first is the one that the other meets, and that writes the checkpoints."""
    bucket, port = tmp_path / "bucket", free_port()
    upload(str(bucket), write_raw(tmp_path / "raw", 40))
    store = open_store(BucketSettings(bucket=str(bucket)))
    container = get(render("local", tmp_path), "Job/distributed-train-job")["spec"]["template"]["spec"]["containers"][0]

    def checkpoints() -> set[str]:
        return {entry.key for entry in store.entries("checkpoints/")}

    with nodes() as started:
        def start(rank: int) -> Node:
            started.append(Node(container, rank, port, bucket, tmp_path / f"disk{len(started)}"))
            return started[-1]

        first, second = start(0), start(1)
        wait_for(checkpoints, [first, second])
        first.taken_away()
        first = start(0)
        assert [first.ended(), second.ended()] == [0, 0], "\n".join("".join(node.said)[-3000:]
                                                                    for node in (first, second))
    said = "".join(first.said)
    (steps,) = map(int, re.findall(r'"event": "resumed", "step": (\d+)', said))
    assert steps > 0 and "checkpoint_fetched" in said  # its disk was empty
    assert '"event": "node_lost"' in "".join(second.said) and second.has_said('"event": "resumed"')
    assert "gate         passed" in said and "helped to train" in "".join(second.said)
    keys = {entry.key for entry in store.entries("models/")}
    assert {f"models/{'f' * 40}/model.pt", f"models/{'f' * 40}/model.onnx"} <= keys
    assert not checkpoints() and not (tmp_path / "disk1/models/model.pt").exists()


def statuses(monkeypatch: pytest.MonkeyPatch, *found: int) -> list[int]:
    """What each attempt ends with, without one; returns those that are left."""
    left = list(found)
    monkeypatch.setattr("catsdogs.job.together._attempt", lambda *_: left.pop(0))
    monkeypatch.setattr("catsdogs.job.together.LOOK_SECONDS", 0.01)
    return left


def test_a_training_that_fails_is_not_tried_again_and_one_that_is_lost_is(monkeypatch: pytest.MonkeyPatch) -> None:
    first = JobSettings(nodes=2, rank=0)
    for status in (1, 2):
        statuses(monkeypatch, 75, 143, 137, status)
        with pytest.raises(CatsdogsError, match="The training failed"):
            together(first, {}, None)
    left = statuses(monkeypatch, 75, 0, 9)
    together(first, {}, lambda: False)
    assert left == [9]
    statuses(monkeypatch, *[137] * TRIES)  # a node whose memory does not suffice loses it each time
    with pytest.raises(NotTogether, match="10 trainings in a row were lost") as caught:
        together(first, {}, None)
    assert caught.value.exit_status == 75


def test_a_node_beside_the_first_stays_until_the_model_is_in_the_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, False, True])
    with socket.create_server(("127.0.0.1", 0)) as server:
        beside = JobSettings(nodes=2, rank=1, meet=f"127.0.0.1:{server.getsockname()[1]}")
        left = statuses(monkeypatch, 0, 0, 9)  # the first was lost after the training, and needed it once more
        together(beside, {}, lambda: next(answers))
        assert left == [9] and next(answers, None) is None
    nobody = JobSettings(nodes=2, rank=1, meet=f"127.0.0.1:{free_port()}", meet_seconds=0.05)
    with pytest.raises(NotTogether, match="The first node was not at --meet 127.0.0.1"):
        together(nobody, {}, lambda: False)


def test_a_trainers_own_status_is_told(tmp_path: Path) -> None:
    """Which torchrun's command does not do: it ends with 1."""
    assert attempt(1, 0, f"127.0.0.1:{free_port()}", 30, ["--data-dir", str(tmp_path / "none"), "--epochs", "x"]) == 2


def test_settings_become_flags() -> None:
    assert words({"batch_size": 8, "force_cpu": True, "retrain": False, "data_dir": Path("a b")}) == [
        "--batch-size", "8", "--force-cpu", "--no-retrain", "--data-dir", "a b"]
