import os
import time
from pathlib import Path

import pytest

from catsdogs.cli import main
from catsdogs.errors import CatsdogsError
from catsdogs.settings.versions import BucketSettings, PruneSettings, VerifySettings, VersionsSettings
from catsdogs.storage import open_store
from catsdogs.stores.folder import FolderStore
from catsdogs.stores.store import Content
from catsdogs.versions import push as push_module
from catsdogs.versions.layout import Layout
from catsdogs.versions.listing import versions
from catsdogs.versions.manifest import read_manifest
from catsdogs.versions.prune import PruneResult, prune
from catsdogs.versions.shelf import list_shelf, rows_of
from catsdogs.versions.verify import verify
from tests.versions.folders import blob, pulled, pushed, tree, write_stage


def keys(bucket: str) -> set[str]:
    return {entry.key for entry in open_store(BucketSettings(bucket=bucket)).entries("")}


def run(bucket: str, keep: int = 1, **options: object) -> PruneResult:
    return prune(PruneSettings(**({"bucket": bucket, "keep": keep, "apply": True, "grace_hours": 0} | options)))


def age(bucket: Path, hours: float) -> None:
    """Make every object so old."""
    for path in bucket.rglob("*"):
        if path.is_file():
            stamp = path.stat().st_mtime - hours * 3600
            os.utime(path, (stamp, stamp))


def three_versions(root: Path, bucket: str) -> dict[str, dict[str, bytes]]:
    """c1: photos 0-59. c2: 30-89, so c1's first half is dead weight in its shards. c3: c2 and a few more."""
    expected = {}
    folder = write_stage(root / "data", 60)
    pushed(root, bucket, "c1", unpacked=True)
    for number in range(60):
        if number % 2 or number < 40:
            (folder / ("cat", "dog")[number % 2] / f"{number:05}.jpg").unlink()
    write_stage(root / "data", 30, first=60)
    pushed(root, bucket, "c2")
    expected["c2"] = tree(folder)
    write_stage(root / "data", 4, first=90)
    pushed(root, bucket, "c3")
    expected["c3"] = tree(folder)
    return expected


def test_a_dry_run_changes_nothing(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    three_versions(tmp_path, bucket)
    before = keys(bucket)
    assert main(["prune", "--bucket", bucket, "--keep", "1", "--grace-hours", "0"]) == 0
    text = capsys.readouterr().out
    assert "1 kept, 2 would be forgotten: c2, c1" in text and "--apply does it" in text
    assert keys(bucket) == before


def test_what_no_version_names_is_freed_by_the_second_prune(bucket: str, tmp_path: Path) -> None:
    expected = three_versions(tmp_path, bucket)
    before = keys(bucket)
    stored = versions(VersionsSettings(bucket=bucket)).stored
    first = run(bucket, keep=2)
    assert (first.kept, first.forgotten, first.plain, first.deleted) == (["c3", "c2"], ["c1"], 63, 0)
    assert first.condemned > 0 and first.repacked > 0
    assert not any("/c1/" in key for key in keys(bucket))
    assert {key for key in before if key.endswith(".tar")} <= keys(bucket)
    for commit in ("c2", "c3"):  # readers are served before and after
        pulled(tmp_path / "between" / commit, bucket, commit)
        assert tree(tmp_path / "between" / commit / "data" / "ingested") == expected[commit]
    second = run(bucket, keep=2)
    assert second.deleted >= first.condemned > 0
    third = run(bucket, keep=2)
    assert third.deleted == third.condemned == third.repacked == third.spared == 0
    assert versions(VersionsSettings(bucket=bucket)).stored < 0.8 * stored
    assert verify(VerifySettings(bucket=bucket)).passed
    for commit in ("c2", "c3"):
        pulled(tmp_path / "after" / commit, bucket, commit)
        assert tree(tmp_path / "after" / commit / "data" / "ingested") == expected[commit]
    with pytest.raises(CatsdogsError, match="no version c1"):
        pulled(tmp_path / "gone", bucket, "c1")


def test_large_files_move_too(tmp_path: Path) -> None:
    bucket = str(tmp_path / "bucket")
    folder = write_stage(tmp_path / "data", 2)
    (folder / "cat" / "large.bin").write_bytes(blob(1, 9_000_000))
    (folder / "cat" / "dead.bin").write_bytes(blob(2, 12_000_000))
    pushed(tmp_path, bucket, pack_megabytes=64)
    (folder / "cat" / "dead.bin").unlink()
    pushed(tmp_path, bucket, "c2")
    assert run(bucket).repacked > 9_000_000
    assert run(bucket).deleted > 21_000_000
    pulled(tmp_path / "b", bucket, "c2")
    assert tree(tmp_path / "b" / "data" / "ingested") == tree(folder)


def test_the_young_are_left_alone_and_the_grace_is_kept(tmp_path: Path) -> None:
    bucket = str(tmp_path / "bucket")
    three_versions(tmp_path, bucket)
    assert run(bucket, grace_hours=24).condemned == 0  # shards of a push under way look just like these
    age(tmp_path / "bucket", 25)
    assert run(bucket, grace_hours=24).condemned > 0
    assert run(bucket, grace_hours=24).deleted == 0
    age(tmp_path / "bucket", 25)
    assert run(bucket, grace_hours=24).deleted > 0
    assert verify(VerifySettings(bucket=bucket)).passed


def test_models_are_never_touched(tmp_path: Path) -> None:
    bucket = str(tmp_path / "bucket")
    (tmp_path / "models").mkdir()
    for name in ("model.pt", "model.onnx"):
        (tmp_path / "models" / name).write_bytes(name.encode())
    (tmp_path / "metrics.json").write_text("{}")
    three_versions(tmp_path, bucket)
    for _ in range(3):
        run(bucket)
    pulled(tmp_path / "b", bucket, "c1", stage=["models"])
    assert (tmp_path / "b/models/model.pt").read_bytes() == b"model.pt"


def test_a_push_builds_on_nothing_condemned(bucket: str, tmp_path: Path) -> None:
    folder = write_stage(tmp_path / "old" / "data", 40)
    pushed(tmp_path / "old", bucket, "c1")
    write_stage(tmp_path / "new" / "data", 20, first=500)
    pushed(tmp_path / "new", bucket, "c2")
    run(bucket)  # c1 is condemned
    pushed(tmp_path / "old", bucket, "c3")  # the same photos again, from whoever still has them
    store, layout = open_store(BucketSettings(bucket=bucket)), Layout("cats-dogs")
    named = read_manifest(store, layout, "c3", "ingested")
    packs = {layout.pack(row.pack) for row in rows_of(store, layout, named, 1)}  # type: ignore[arg-type]
    assert not packs & list_shelf(store, layout).condemned.keys()
    run(bucket, keep=2)
    run(bucket, keep=2)
    assert verify(VerifySettings(bucket=bucket)).passed
    pulled(tmp_path / "b", bucket, "c3")
    assert tree(tmp_path / "b" / "data" / "ingested") == tree(folder)


@pytest.mark.parametrize("changed", [False, True])
def test_a_push_under_way_while_prune_condemns(changed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The push has listed the bucket before, and names condemned shards after: the next prune spares them."""
    bucket = str(tmp_path / "bucket")
    folder = write_stage(tmp_path / "old" / "data", 40)
    pushed(tmp_path / "old", bucket, "c1")
    write_stage(tmp_path / "new" / "data", 20, first=500)
    pushed(tmp_path / "new", bucket, "c2")
    if changed:
        write_stage(tmp_path / "old" / "data", 3, first=40)
    lists = push_module.list_shelf

    def listed_then_pruned(*arguments: object) -> object:
        shelf = lists(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(push_module, "list_shelf", lists)
        assert run(bucket).condemned > 0
        return shelf

    monkeypatch.setattr(push_module, "list_shelf", listed_then_pruned)
    pushed(tmp_path / "old", bucket, "c3")
    assert run(bucket, keep=2).spared > 0
    run(bucket, keep=2)
    assert verify(VerifySettings(bucket=bucket)).passed
    pulled(tmp_path / "b", bucket, "c3")
    assert tree(tmp_path / "b" / "data" / "ingested") == tree(folder)


@pytest.mark.parametrize("changed", [False, True])
def test_a_push_that_took_too_long_looks_again(changed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = str(tmp_path / "bucket")
    write_stage(tmp_path / "old" / "data", 40)
    pushed(tmp_path / "old", bucket, "c1")
    write_stage(tmp_path / "new" / "data", 20, first=500)
    pushed(tmp_path / "new", bucket, "c2")
    if changed:
        write_stage(tmp_path / "old" / "data", 3, first=40)
    lists = push_module.list_shelf

    def listed_then_pruned(*arguments: object) -> object:
        shelf = lists(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(push_module, "list_shelf", lists)
        run(bucket)
        run(bucket)  # and deleted
        return shelf

    monkeypatch.setattr(push_module, "list_shelf", listed_then_pruned)
    monkeypatch.setattr(push_module, "TRUST_SECONDS", 0.0)
    with pytest.raises(CatsdogsError, match="`catsdogs prune` ran during this push"):
        pushed(tmp_path / "old", bucket, "c3")
    assert not any("/c3/" in key for key in keys(bucket))
    monkeypatch.setattr(push_module, "TRUST_SECONDS", 3600.0)
    pushed(tmp_path / "old", bucket, "c3")
    assert verify(VerifySettings(bucket=bucket)).passed


def test_a_pull_under_way_while_contents_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = str(tmp_path / "bucket")
    expected = three_versions(tmp_path, bucket)
    read, pruned = FolderStore.read, []

    def read_then_pruned(self: FolderStore, key: str, start: int = 0, length: int | None = None) -> bytes:
        if key.endswith(".tar") and not pruned:
            pruned.append(True)
            run(bucket, keep=2)
            run(bucket, keep=2)
        return read(self, key, start, length)

    monkeypatch.setattr(FolderStore, "read", read_then_pruned)
    pulled(tmp_path / "b", bucket, "c2")
    assert tree(tmp_path / "b" / "data" / "ingested") == expected["c2"]


def test_prune_frees_nothing_where_a_version_cannot_be_read(tmp_path: Path) -> None:
    bucket = str(tmp_path / "bucket")
    three_versions(tmp_path, bucket)
    store = open_store(BucketSettings(bucket=bucket))
    for entry in store.entries("datasets/cats-dogs/shards/trees/"):
        store.delete(entry.key)
    shards = {key for key in keys(bucket) if key.endswith(".tar")}
    with pytest.raises(CatsdogsError, match="is gone, though a version names it"):
        run(bucket)
    assert shards <= keys(bucket)


def test_orphans_of_a_push_that_died_are_freed(tmp_path: Path) -> None:
    bucket = str(tmp_path / "bucket")
    write_stage(tmp_path / "data", 20)
    pushed(tmp_path, bucket)
    store = open_store(BucketSettings(bucket=bucket))
    orphan = f"datasets/cats-dogs/shards/{'0' * 64}.tar"
    store.write(orphan, Content.of(bytes(10_000)))
    run(bucket)
    assert orphan in keys(bucket)
    time.sleep(0.01)
    run(bucket)
    assert orphan not in keys(bucket) and not any("condemned" in key for key in keys(bucket))
    assert verify(VerifySettings(bucket=bucket)).passed
