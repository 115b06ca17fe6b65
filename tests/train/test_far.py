"""Checkpoints in a bucket: a machine that is taken away costs a minute, not the training."""

import math
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from catsdogs.errors import CatsdogsError
from catsdogs.packed import PackedPhotos
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from catsdogs.stores.folder import FolderStore
from catsdogs.stores.store import Content, Entry
from catsdogs.train.far import KEPT, FarCheckpoint
from catsdogs.train.interruption import LEAST, LEAVE_WITHIN, Interruption, Stopped
from catsdogs.train.stage import train
from catsdogs.train.tracking.tracker import NullTracker
from catsdogs.weights import save_plain
from tests.models import train_settings, trained
from tests.train.kills import dead_process, same_model


def far(folder: Path, bucket: str, key: str = "key") -> FarCheckpoint:
    return FarCheckpoint(folder, key, open_store(BucketSettings(bucket=bucket)))


def weights(training: object) -> list[torch.Tensor]:
    return list(training.network.state_dict().values())  # type: ignore[attr-defined]


def stopped_after(epochs: int, photos: PackedPhotos, checkpoint: FarCheckpoint) -> None:
    """A training that dies after so many epochs, its last state sent."""
    def stop(row: object) -> None:
        if row.epoch == epochs + 1:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(photos, epochs=4, checkpoint=checkpoint, after_epoch=stop)
    checkpoint.close()


def test_another_machine_goes_on_to_the_same_weights_to_the_bit(
    photos: PackedPhotos, tmp_path: Path, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = trained(photos, epochs=4)
    stopped_after(2, photos, far(tmp_path / "one", bucket))
    capsys.readouterr()
    other = far(tmp_path / "other", bucket)
    resumed = trained(photos, epochs=4, checkpoint=other)
    assert '"resumed", "step": 10' in capsys.readouterr().err
    assert all(torch.equal(a, b) for a, b in zip(weights(undisturbed), weights(resumed), strict=True))
    other.close()
    other.remove()
    assert open_store(BucketSettings(bucket=bucket)).entries("checkpoints/") == []


def test_the_last_two_are_kept_and_nothing_is_left_on_disk(photos: PackedPhotos, tmp_path: Path) -> None:
    checkpoint = far(tmp_path / "here", str(tmp_path / "bucket"))
    for steps in (1, 2, 3, 4):
        checkpoint.save({"numbers": {"steps": steps}})
        checkpoint.close()  # else a newer state overtakes an older one
    names = [entry.key.rpartition("/")[2] for entry in FolderStore(tmp_path / "bucket").entries("checkpoints/key/")]
    assert [int(name.split("-")[0]) for name in names] == [3, 4] and len(names) == KEPT
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["checkpoint.previous.pt", "checkpoint.pt"]


def test_the_newest_state_overtakes_those_that_wait(tmp_path: Path) -> None:
    """While one upload is under way, of all the states saved meanwhile only the newest is sent."""
    store = Slow(tmp_path / "bucket")
    checkpoint = FarCheckpoint(tmp_path / "here", "key", store)
    for steps in range(1, 6):
        checkpoint.save({"numbers": {"steps": steps}})
        store.began.wait(10)
    store.go.set()
    checkpoint.close()
    assert [int(key.split("/")[2].split("-")[0]) for key in store.written] == [1, 5]


def test_a_state_that_is_saved_again_while_it_is_sent_is_sent_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As at SIGTERM right after an epoch: the same steps twice."""
    store = Slow(tmp_path / "bucket")
    checkpoint = FarCheckpoint(tmp_path / "here", "key", store)
    for seconds in (1, 2):
        checkpoint.save({"numbers": {"steps": 7}, "seconds": seconds})
        store.began.wait(10)
    store.go.set()
    checkpoint.close()
    assert "checkpoint_not_sent" not in capsys.readouterr().err
    assert len(set(store.written)) == 2
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["checkpoint.previous.pt", "checkpoint.pt"]


def test_what_another_training_in_the_same_folder_is_sending_stays(tmp_path: Path) -> None:
    here, store = tmp_path / "here", Slow(tmp_path / "bucket")
    FarCheckpoint(here, "key", store).save({"numbers": {"steps": 1}})
    store.began.wait(10)
    (link,) = here.glob("*.partial")
    sent, left = (here / link.name.replace(str(os.getpid()), str(number)) for number in (os.getppid(), dead_process()))
    for path in (sent, left):
        path.write_bytes(b"x")
    far(here, str(tmp_path / "bucket"), "another").load()
    assert sent.exists() and not left.exists()
    store.go.set()


def test_where_only_other_checkpoints_are_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A machine with another number of cores trains from the start, and not without a word."""
    bucket = str(tmp_path / "bucket")
    assert far(tmp_path / "none", bucket).load() is None
    assert "no_checkpoint_fits" not in capsys.readouterr().err, "there is none at all"
    other = far(tmp_path / "one", bucket, "two cores")
    other.save({"numbers": {"steps": 1}})
    other.close()
    assert far(tmp_path / "other", bucket, "four cores").load() is None
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "no_checkpoint_fits" in line]
    assert "number of cores" in said and '"others": 1' in said and bucket in said
    assert far(tmp_path / "third", bucket, "two cores").load() is not None
    assert "no_checkpoint_fits" not in capsys.readouterr().err


class Slow(FolderStore):
    """Writes when it is told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.began, self.go = threading.Event(), threading.Event()
        self.written: list[str] = []

    def write(self, key: str, content: Content, *, absent: bool = False) -> None:
        self.began.set()
        self.go.wait(30)
        super().write(key, content, absent=absent)
        self.written.append(key)


@pytest.mark.parametrize("damage", ["flipped-bit", "another-state"])
def test_a_damaged_copy_falls_back_to_the_one_before(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = tmp_path / "bucket"
    checkpoint = far(tmp_path / "one", str(bucket))
    for steps in (1, 2):
        checkpoint.save({"numbers": {"steps": steps}})
        checkpoint.close()
    newest = sorted((bucket / "checkpoints/key").iterdir())[-1]
    if damage == "flipped-bit":
        data = bytearray(newest.read_bytes())
        data[len(data) // 2] ^= 1
        newest.write_bytes(data)
    else:
        save_plain(newest, {"key": "key", "numbers": {"steps": 9}})
    state = far(tmp_path / "other", str(bucket)).load()
    assert state is not None and state["numbers"]["steps"] == 1
    assert "checkpoint_ignored" in capsys.readouterr().err


class Refuses(FolderStore):
    def write(self, key: str, content: Content, *, absent: bool = False) -> None:
        raise CatsdogsError("no permission on the bucket")


def test_a_bucket_that_refuses_never_stops_a_training_and_is_said_once(
    photos: PackedPhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = FarCheckpoint(tmp_path / "here", "key", Refuses(tmp_path / "bucket"))
    training = trained(photos, epochs=3, checkpoint=checkpoint)
    checkpoint.close()
    assert len(training.history) == 3
    said = capsys.readouterr().err
    assert said.count("checkpoint_not_sent") == 1 and "no permission" in said


def test_a_stopped_training_waits_for_bucket_and_server_no_longer_than_it_may(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM came 3 s before its checkpoint was saved: both share what is left of LEAVE_WITHIN."""
    allowed: dict[str, float] = {}
    interruption = Interruption(asked=True, at=time.monotonic() - 3)
    monkeypatch.setattr("catsdogs.train.loop.watched", lambda: nullcontext(interruption))
    monkeypatch.setattr(FarCheckpoint, "close", lambda self, seconds=math.inf: allowed.update(bucket=seconds))
    monkeypatch.setattr(NullTracker, "close", lambda self, status, reason="", *, seconds=math.inf: allowed.update(
        server=seconds))
    with pytest.raises(Stopped):
        train(train_settings(data_dir, tmp_path, checkpoint_bucket=str(tmp_path / "bucket")))
    assert LEAST <= allowed["server"] <= allowed["bucket"] <= LEAVE_WITHIN - 3
    assert Stopped(asked_at=time.monotonic() - 60).seconds_left() == LEAST


@pytest.mark.parametrize("saved", [1, 2])  # the second waits for the first
def test_an_upload_that_hangs_is_left_behind_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], saved: int
) -> None:
    store = Slow(tmp_path / "bucket")
    checkpoint = FarCheckpoint(tmp_path / "here", "key", store)
    for steps in range(saved):
        checkpoint.save({"numbers": {"steps": steps}})
        store.began.wait(10)
    checkpoint.close(0.1)
    assert "checkpoint_not_sent" in capsys.readouterr().err and store.written == []
    store.go.set()


def test_a_bucket_that_cannot_be_read_is_said_before_training(photos: PackedPhotos, tmp_path: Path) -> None:
    class Gone(FolderStore):
        def entries(self, prefix: str) -> list[Entry]:
            raise CatsdogsError("There is no bucket gs://x: create it, or name another --bucket.")

    with pytest.raises(CatsdogsError, match="no bucket gs://x"):
        trained(photos, checkpoint=FarCheckpoint(tmp_path, "key", Gone(tmp_path / "bucket")))


def test_killed_and_gone_on_with_elsewhere(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command itself: SIGKILL once a state is in the bucket, its folder deleted, the same command elsewhere."""
    bucket = tmp_path / "bucket"

    command = [sys.executable, "-m", "catsdogs", "train", "--data-dir", str(data_dir), "--epochs", "40",
               "--batch-size", "8", "--force-cpu", "--precision", "float32", "--mlflow-tracking-uri", "none",
               "--output-model", str(tmp_path / "first" / "model.pt"),
               "--artifact-dir", str(tmp_path / "first" / "artifacts"), "--checkpoint-bucket", str(bucket)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as killed:
        for _ in range(10_000):  # a busy machine takes minutes to start two of them
            if killed.poll() is not None or list(bucket.glob("checkpoints/*/*.pt")):
                break
            time.sleep(0.05)
        killed.kill()
    assert killed.returncode == -9, "it ended before it could be killed"
    assert list(bucket.glob("checkpoints/*/*.pt")), "it was killed before a state was in the bucket"
    shutil.rmtree(tmp_path / "first")
    elsewhere, undisturbed = (train_settings(data_dir, tmp_path / name, epochs=40, batch_size=8, precision="float32")
                              for name in ("second", "undisturbed"))
    train(elsewhere.model_copy(update={"checkpoint_bucket": str(bucket)}))
    assert '"event": "resumed"' in capsys.readouterr().err
    assert not list(bucket.rglob("*.pt")), "a finished training leaves no checkpoint"
    train(undisturbed)
    assert same_model(elsewhere.output_model, undisturbed.output_model)
