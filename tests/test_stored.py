"""Ingest and preprocess on versions in a bucket leave exactly what they leave in folders."""

import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.ingest.stage import ingest
from catsdogs.preprocess.stage import preprocess
from catsdogs.settings.data import IngestSettings, PreprocessSettings
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Content
from tests.chains import INGEST, PREPROCESS, in_bucket, in_folders, planted
from tests.photos import jpeg, write
from tests.versions.folders import pulled, pushed, tree


def test_a_bucket_gives_what_folders_give_byte_for_byte(bucket: str, tmp_path: Path) -> None:
    """Photos of all kinds, broken files, copies, conflicts, odd names; folders as the truth."""
    raw = planted(tmp_path / "here" / "data" / "raw")
    in_folders(tmp_path / "here")
    pushed(tmp_path / "here", bucket, stage=["raw"])
    in_bucket(bucket, tmp_path / "cache")
    pulled(tmp_path / "back", bucket)
    assert len(tree(raw)) > 60
    assert tree(tmp_path / "back" / "data") == {
        name: data for name, data in tree(tmp_path / "here" / "data").items() if not name.startswith(".packed")}


def test_kept_photos_are_not_stored_again(tmp_path: Path) -> None:
    planted(tmp_path / "data" / "raw")
    bucket = str(tmp_path / "bucket")
    pushed(tmp_path, bucket, stage=["raw"])
    before = shards(bucket)
    ingest(IngestSettings(bucket=bucket, commit="c1", cache_dir=tmp_path / "cache", **INGEST))
    (new,) = shards(bucket).keys() - before.keys()  # the manifest
    assert shards(bucket)[new] < 0.2 * sum(before.values())


def test_photos_are_added_to_an_earlier_version(tmp_path: Path) -> None:
    """The same as adding to a folder: recorded groups stay, so does what is no longer in raw."""
    bucket, data = str(tmp_path / "bucket"), tmp_path / "data"
    raw = planted(data / "raw")
    pushed(tmp_path, bucket, "c1", stage=["raw"])
    ingest(IngestSettings(source_dir=raw, output_dir=data / "ingested", workers=1, **INGEST))
    in_bucket(bucket, tmp_path / "cache", "c1")
    (raw / "Cat" / "3.jpg").unlink()
    for number in range(12):
        write(raw / "Dog" / f"late{number}.jpg", jpeg(5000 + number))
    pushed(tmp_path, bucket, "c2", stage=["raw"])
    ingest(IngestSettings(source_dir=raw, output_dir=data / "ingested", workers=1, **INGEST))
    ingest(IngestSettings(bucket=bucket, commit="c2", previous="c1", cache_dir=tmp_path / "cache", **INGEST))
    pulled(tmp_path / "back", bucket, "c2", stage=["ingested"])
    assert tree(tmp_path / "back" / "data" / "ingested") == tree(data / "ingested")


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(tmp_path / "data" / "raw")
    bucket = str(tmp_path / "bucket")
    pushed(tmp_path, bucket, stage=["raw"])
    options = {"bucket": bucket, "commit": "c1", "cache_dir": tmp_path / "cache", "workers": 1}
    monkeypatch.setattr("catsdogs.ingest.versioned.CHUNK", 16)
    with monkeypatch.context() as patch:
        patch.setattr("catsdogs.ingest.judge.decide", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            ingest(IngestSettings(**options, **INGEST))
    with monkeypatch.context() as patch:
        patch.setattr("catsdogs.ingest.judge.examine", lambda *_: pytest.fail("examined again"))
        ingest(IngestSettings(**options, **INGEST))
    resize = PreprocessSettings(**options, **PREPROCESS, shard_photos=8)
    with monkeypatch.context() as patch:
        patch.setattr("catsdogs.versions.stored.Bucket.publish", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            preprocess(resize)
    before = shards(bucket)
    (kept,) = (tmp_path / "cache").glob("preprocess-*/shards.jsonl")
    kept.write_text(kept.read_text()[:-20])  # killed while it was writing a line
    with monkeypatch.context() as patch:
        made: list[object] = []
        patch.setattr("catsdogs.engine.Local.map", lambda _, work, shared, tasks: (
            made.append(task) or work(shared, task) for task in tasks))
        preprocess(resize)
        assert len(made) == 1
    assert before.keys() <= shards(bucket).keys() and len(shards(bucket)) == len(before) + 1
    assert not kept.exists()


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_version_is_never_overwritten_and_the_same_is_no_change(tmp_path: Path) -> None:
    planted(tmp_path / "data" / "raw")
    bucket = str(tmp_path / "bucket")
    pushed(tmp_path, bucket, stage=["raw"])
    for _ in range(2):
        in_bucket(bucket, tmp_path / "cache")
    options = PREPROCESS | {"seed": 9}
    with pytest.raises(CatsdogsError, match="never overwritten: name another --commit"):
        preprocess(PreprocessSettings(bucket=bucket, commit="c1", cache_dir=tmp_path / "cache", **options))


def test_what_prune_condemned_is_made_anew_under_another_name(tmp_path: Path) -> None:
    planted(tmp_path / "data" / "raw")
    bucket = str(tmp_path / "bucket")
    pushed(tmp_path, bucket, stage=["raw"])
    in_bucket(bucket, tmp_path / "cache")
    store, layout = open_store(BucketSettings(bucket=bucket)), "datasets/cats-dogs/shards/"
    for stage in ("ingested", "processed"):
        store.delete(f"datasets/cats-dogs/c1/{stage}/manifest.json")
    raw = tree(tmp_path / "data" / "raw").values()
    for key in shards(bucket):
        if not any(data in store.read(key) for data in raw if len(data) > 100):
            store.write(key.replace(layout, layout + "condemned/"), Content.of(b""))
    condemned = {key for key in shards(bucket) if "condemned" in key}
    assert condemned
    in_bucket(bucket, tmp_path / "cache")
    pulled(tmp_path / "back", bucket)
    named = subprocess.run([sys.executable, "-m", "catsdogs", "verify", "--bucket", bucket], capture_output=True)
    assert named.returncode == 0


def shards(bucket: str) -> dict[str, int]:
    return {entry.key: entry.size for entry in open_store(BucketSettings(bucket=bucket)).entries("")
            if entry.key.endswith(".tar")}


@pytest.mark.parametrize(("options", "words"), [
    ({"source_dir": Path("x")}, "leave out --source-dir"), ({"commit": "none"}, "has no raw of none"),
    ({"bucket": "", "previous": "c1"}, "add --bucket"), ({"ray_address": "auto"}, "add --engine ray"),
])
def test_what_does_not_go_together_is_said(tmp_path: Path, options: dict[str, object], words: str) -> None:
    named = {"bucket": str(tmp_path / "bucket"), "commit": "c1"} | options
    with pytest.raises(UsageError if words[0] != "h" else CatsdogsError, match=words):
        ingest(IngestSettings(**named))  # type: ignore[arg-type]


def test_too_large_a_file_is_refused_without_reading_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = planted(tmp_path / "data" / "raw")
    write(raw / "Cat" / "large.jpg", b"x" * 60_000)
    for name in ("sources", "versioned"):
        monkeypatch.setattr(f"catsdogs.ingest.{name}.MAX_FILE_BYTES", 50_000)
    pushed(tmp_path, str(tmp_path / "bucket"), stage=["raw"])
    in_folders(tmp_path)
    in_bucket(str(tmp_path / "bucket"), tmp_path / "cache")
    pulled(tmp_path / "back", str(tmp_path / "bucket"))
    text = (tmp_path / "back" / "data" / "ingested" / "manifest.csv").read_text()
    assert "too-large" in text and text == (tmp_path / "data" / "ingested" / "manifest.csv").read_text()


def test_nothing_is_published_on_what_prune_is_about_to_free(tmp_path: Path) -> None:
    planted(tmp_path / "data" / "raw")
    bucket = str(tmp_path / "bucket")
    pushed(tmp_path, bucket, stage=["raw"])
    store = open_store(BucketSettings(bucket=bucket))
    key = next(iter(shards(bucket)))
    store.write(key.replace("/shards/", "/shards/condemned/"), Content.of(b""))
    with pytest.raises(CatsdogsError, match="prune` ran meanwhile"):
        ingest(IngestSettings(bucket=bucket, commit="c1", cache_dir=tmp_path / "cache", workers=1, **INGEST))
    assert not (tmp_path / "bucket" / "datasets" / "cats-dogs" / "c1" / "ingested").exists()
