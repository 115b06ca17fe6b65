"""How contents travel: many at a time, counted as they go out, and gone on with where a push was interrupted."""

import json
import threading
from pathlib import Path

import pytest

from catsdogs.errors import CatsdogsError
from catsdogs.settings.versions import BucketSettings, PushSettings, VerifySettings, VersionsSettings
from catsdogs.storage import open_store
from catsdogs.stores import http
from catsdogs.stores.folder import FolderStore
from catsdogs.stores.store import Content
from catsdogs.versions.listing import versions
from catsdogs.versions.pusher import _Going
from catsdogs.versions.verify import verify
from tests.buckets import Servers, environment, new_bucket
from tests.faults import Faults, proxy
from tests.versions.folders import blob, pulled, pushed, tree, write_stage

AT_ONCE = 16


class Gathering(Faults):
    """Lets no request for a shard through before AT_ONCE of them are under way at the same time."""

    def __init__(self, upstream: int) -> None:
        super().__init__(upstream)
        self.gathered = threading.Condition()
        self.here, self.alone = 0, False

    def draw(self, method: str, path: str) -> str:
        if path.partition("?")[0].endswith(".tar"):
            with self.gathered:
                self.here += 1
                self.gathered.notify_all()
                if not self.gathered.wait_for(lambda: self.here >= AT_ONCE or self.alone, timeout=20):
                    self.alone = True
                    self.gathered.notify_all()
        return super().draw(method, path)


def test_sixteen_transfers_are_under_way_at_once(
    object_servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_stage(tmp_path / "data", 1)
    for number in range(AT_ONCE):
        (folder / "cat" / f"{number}.jpg").write_bytes(blob(number, 20_000))  # a shard each
    bucket = new_bucket("s3", object_servers, tmp_path)
    for work in (lambda: pushed(tmp_path, bucket, pack_megabytes=0.02), lambda: pulled(tmp_path / "b", bucket)):
        faults = Gathering(object_servers.s3)
        with proxy(faults) as port:
            for name, value in environment("s3", port).items():
                monkeypatch.setenv(name, value)
            work()
        assert faults.here >= AT_ONCE and not faults.alone
    assert tree(tmp_path / "b" / "data" / "ingested") == tree(folder)


def test_shards_are_closed_at_the_size_asked_for_64_mb_by_default(tmp_path: Path) -> None:
    assert PushSettings().pack_megabytes == 64
    write_stage(tmp_path / "data", 400)
    pushed(tmp_path, str(tmp_path / "bucket"), pack_megabytes=0.2)
    *full, rest = sorted(entry.size for entry in open_store(BucketSettings(bucket=str(tmp_path / "bucket"))).entries(
        "datasets/cats-dogs/shards/") if entry.key.endswith(".tar"))[::-1]
    assert len(full) > 3 and all(200_000 <= size < 205_000 for size in full) and rest < 205_000


# What is being sent when a process ends is closed by nobody.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("unpacked", [False, True])
def test_a_push_that_ends_anywhere_leaves_nothing_that_looks_finished_and_goes_on(
    unpacked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before each of its writes in turn; no shard is sent twice, and the manifest is the last write."""
    folder = write_stage(tmp_path / "data", 20)
    written: list[str] = []
    stop_at = -1
    usual = FolderStore.write

    def stops(self: FolderStore, key: str, content: Content, *, absent: bool = False) -> None:
        if len(written) == stop_at:
            raise CatsdogsError("the machine is gone")
        usual(self, key, content, absent=absent)
        written.append(key)

    monkeypatch.setattr(FolderStore, "write", stops)
    options = {"unpacked": unpacked, "transfers": 1, "pack_megabytes": 0.01}
    pushed(tmp_path, str(tmp_path / "whole"), **options)
    assert written[-1] == "datasets/cats-dogs/c1/ingested/manifest.json" and len(set(written)) == len(written)
    undisturbed = sorted(written)
    assert sum(key.endswith(".tar") for key in undisturbed) > 3
    for stop in range(len(undisturbed)):
        bucket = str(tmp_path / str(stop))
        written.clear()
        stop_at = stop
        with pytest.raises(CatsdogsError, match="the machine is gone"):
            pushed(tmp_path, bucket, **options)
        assert versions(VersionsSettings(bucket=bucket)).versions == []
        with pytest.raises(CatsdogsError, match="has no version c1"):
            pulled(tmp_path / "none", bucket)
        stop_at = -1
        pushed(tmp_path, bucket, **options)
        assert sorted(written) == undisturbed
        assert verify(VerifySettings(bucket=bucket)).passed
    pulled(tmp_path / "b", bucket)
    assert tree(tmp_path / "b" / "data" / "ingested") == tree(folder)


@pytest.mark.parametrize("kind", ["folder", "gs", "s3"])
def test_push_says_rate_and_time_left_and_counts_a_file_once_however_often_it_is_sent(
    kind: str, object_servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("catsdogs.log.EVERY_SECONDS", 0.0)
    monkeypatch.setattr(http, "FIRST_PAUSE", 0.01)
    (write_stage(tmp_path / "data", 40) / "cat" / "again.jpg").write_bytes(blob(0))
    faults = Faults(getattr(object_servers, kind, 0))
    bucket = new_bucket(kind, object_servers, tmp_path)
    faults.script = ["", "", "lost", "503", "lost"]
    with proxy(faults) as port:
        for name, value in environment(kind, port).items():
            monkeypatch.setenv(name, value)
        pushed(tmp_path, bucket, unpacked=True, transfers=1)
        said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        pulled(tmp_path / "b", bucket)
        back = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    for label, lines in (("push ingested", said), ("push ingested, plain files", said), ("pull ingested", back)):
        mine = [line for line in lines if line["stage"] == label]
        assert mine[-1]["event"] == "finished" and mine[-1]["done"] == mine[-1]["total"] == 44
        under_way = [line for line in mine if line["event"] == "progress" and 0 < line["done"] < 44]
        assert under_way and all(line["files_per_second"] > 0 and "seconds_left" in line for line in under_way)
    assert kind == "folder" or faults.seen["lost"] == 2


def test_a_file_is_done_when_it_is_sent_and_not_when_it_is_read(tmp_path: Path) -> None:
    class Bar:
        done = 0

        def advance(self, count: int = 1, note: str = "") -> None:
            self.done += count

    going = _Going(bar := Bar(), files=10, size=1000)
    seen = []
    for position in (50, 350, 990, 100, 990, 1000, 1000):  # the second attempt begins anew
        going.sent(position)
        seen.append(bar.done)
    assert seen == [0, 3, 9, 9, 9, 10, 10]
