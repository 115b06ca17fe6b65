import io
import tarfile
from pathlib import Path

import pytest

from catsdogs.cli import main
from catsdogs.settings.versions import BucketSettings, VerifySettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Content
from catsdogs.versions.verify import verify
from tests.versions.folders import blob, pushed, write_stage


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catsdogs.versions.ranges.READS", 2)
    monkeypatch.setattr("catsdogs.versions.manifest.READS", 2)


def test_every_changed_byte_is_found(bucket: str, tmp_path: Path) -> None:
    folder = write_stage(tmp_path / "data", 50)
    (folder / "cat" / "large.bin").write_bytes(blob(5, 9_000_000))
    pushed(tmp_path, bucket)
    settings = VerifySettings(bucket=bucket)
    assert verify(settings).passed
    store = open_store(BucketSettings(bucket=bucket))
    shards = [entry.key for entry in store.entries("datasets/cats-dogs/shards/") if entry.key.endswith(".tar")]
    for key in shards[:1]:
        whole = store.read(key)
        with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
            files = [member for member in tar if member.size]
        for place in (files[0].offset_data, files[-1].offset_data + files[-1].size - 1):
            spoilt = bytearray(whole)
            spoilt[place] ^= 0x40
            store.write(key, Content.of(bytes(spoilt)))
            (problem,) = verify(settings).problems
            assert key in problem
        store.write(key, Content.of(whole))
    assert verify(settings).passed


def test_lost_and_cut_objects_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_stage(tmp_path / "data", 50)
    bucket = str(tmp_path / "bucket")
    pushed(tmp_path, bucket, unpacked=True)
    store = open_store(BucketSettings(bucket=bucket))
    shards = [entry for entry in store.entries("datasets/cats-dogs/shards/") if entry.key.endswith(".tar")]
    store.write(shards[0].key, Content.of(store.read(shards[0].key)[:shards[0].size // 2]))
    store.delete(shards[1].key)
    store.delete("datasets/cats-dogs/c1/ingested/cat/00000.jpg")
    store.write("datasets/cats-dogs/c1/ingested/dog/00001.jpg", Content.of(b"other"))
    assert main(["verify", "--bucket", bucket]) == 1
    text = capsys.readouterr().out
    assert text.startswith("DAMAGED") and "'dog/00001.jpg' is not what was stored" in text
    assert "ingested/cat/00000.jpg does not exist" in text and f"{shards[1].key} does not exist" in text


def test_one_version_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bucket = str(tmp_path / "bucket")
    write_stage(tmp_path / "data", 10)
    pushed(tmp_path, bucket)
    write_stage(tmp_path / "data", 5, first=10)
    pushed(tmp_path, bucket, "c2")
    assert verify(VerifySettings(bucket=bucket, commit="c1")).contents == 13
    assert main(["verify", "--bucket", bucket, "--commit", "c3"]) == 1
    assert "has no such version" in capsys.readouterr().err
