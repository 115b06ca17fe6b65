import gzip
import json
import os
from pathlib import Path

import pytest

from catsdogs.errors import CatsdogsError
from catsdogs.files import sha256
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from catsdogs.stores.folder import FolderStore
from catsdogs.stores.store import Content, Store
from catsdogs.versions.layout import Layout
from catsdogs.versions.manifest import Damaged, VersionManifest
from catsdogs.versions.tree import Row, Tree, digest_of_rows
from tests.versions.folders import blob, pulled, pushed, tree, write_stage

LAYOUT = Layout("cats-dogs")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A pushed folder of 60 photos; the bucket lies beside it."""
    write_stage(tmp_path / "data", 60)
    pushed(tmp_path, str(tmp_path / "bucket"))
    return tmp_path


def hostile(folder: Path, *paths: str, stage: str = "ingested") -> str:
    """A bucket whose version names these paths, all with the content `x`, and passes every check but ours."""
    store: Store = FolderStore(folder / "hostile")
    pack = blob(1)
    store.write(LAYOUT.pack(sha256(pack)), Content.of(pack))
    rows = [Row(path, sha256(pack[:5]), sha256(pack), 0, 5) for path in paths]
    name = f"{stage}-{digest_of_rows(rows)}"
    store.write(LAYOUT.tree(name), Content.of(Tree(rows).encode()))
    manifest = VersionManifest(commit="c1", stage=stage, created=0, files=len(rows), size=5, tree=name,
                               tree_digest=digest_of_rows(rows), unpacked=False).sealed()
    store.write(LAYOUT.manifest("c1", stage), Content.of(manifest.encode()))
    return str(folder / "hostile")


@pytest.mark.parametrize("path", ["../evil", "cat/../../evil", "/tmp/evil", "cat//evil", "./evil", "cat/..", "", ".",
                                  "cat/\0evil"])
def test_paths_that_lead_out_are_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(CatsdogsError, match="leads out of its folder"):
        pulled(tmp_path, hostile(tmp_path, "cat/good.jpg", path))
    assert not (tmp_path / "data").exists() and not list(tmp_path.rglob("evil"))


def test_a_path_that_is_a_file_and_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatsdogsError, match="'cat' is a file and a folder"):
        pulled(tmp_path, hostile(tmp_path, "cat/good.jpg", "cat"))


def test_models_are_three_files_and_no_others(tmp_path: Path) -> None:
    with pytest.raises(CatsdogsError, match="'model.pkl' is no file of a model"):
        pulled(tmp_path, hostile(tmp_path, "model.pkl", stage="models"))


def test_the_hostile_bucket_is_pulled_where_it_is_harmless(tmp_path: Path) -> None:
    pulled(tmp_path, hostile(tmp_path, "cat/good.jpg"))
    assert tree(tmp_path / "data" / "ingested") == {"cat/good.jpg": blob(1)[:5]}


def test_nothing_is_written_through_links(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "b" / "data" / "ingested"
    target.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (target / "cat").symlink_to(tmp_path / "outside")
    with pytest.raises(CatsdogsError, match="cat is a symbolic link"):
        pulled(tmp_path / "b", str(source / "bucket"), overwrite=True)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_file_that_is_a_link_is_replaced_not_followed(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "b" / "data" / "ingested" / "cat"
    target.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (target / "00000.jpg").symlink_to(victim)
    with pytest.raises(CatsdogsError, match="another file than this version's"):
        pulled(tmp_path / "b", str(source / "bucket"))
    pulled(tmp_path / "b", str(source / "bucket"), overwrite=True)
    assert victim.read_bytes() == b"mine" and (target / "00000.jpg").read_bytes() == blob(0)


def test_a_users_files_are_never_replaced_or_deleted_unasked(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "b" / "data" / "ingested"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat" / "mine.jpg").write_bytes(b"mine")
    (folder / "notes.7.partial").write_bytes(b"mine too")
    with pytest.raises(CatsdogsError, match="holds 2 files that are not part of this version"):
        pulled(tmp_path / "b", str(source / "bucket"))
    assert len(tree(folder)) == 2
    pulled(tmp_path / "b", str(source / "bucket"), overwrite=True)
    expected = tree(source / "data" / "ingested") | {"cat/mine.jpg": b"mine", "notes.7.partial": b"mine too"}
    assert tree(folder) == expected
    (folder / "cat" / "mine.jpg").unlink()
    (folder / "notes.7.partial").unlink()
    (folder / "cat" / "00000.jpg").write_bytes(b"touched")
    with pytest.raises(CatsdogsError, match="00000.jpg is another file than this version's.*--overwrite"):
        pulled(tmp_path / "b", str(source / "bucket"))
    assert (folder / "cat" / "00000.jpg").read_bytes() == b"touched"


def test_pulling_again_fetches_only_what_is_missing(source: Path, tmp_path: Path) -> None:
    pulled(tmp_path / "b", str(source / "bucket"))
    folder = tmp_path / "b" / "data" / "ingested"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.jpg")}
    lost = [folder / "cat" / "00000.jpg", folder / "manifest.csv"]
    for path in lost:
        path.unlink()
    (folder / "cat" / f"00000.jpg.99{'.partial'}").write_bytes(b"of a pull that was killed")
    done = pulled(tmp_path / "b", str(source / "bucket")).stages["ingested"]
    assert done.fetched == 2
    assert tree(folder) == tree(source / "data" / "ingested")
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items() if path not in lost)


def test_a_pull_that_stops_leaves_nothing_that_looks_whole_and_goes_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = FolderStore.read
    count = 0

    def stops(self: FolderStore, key: str, start: int = 0, length: int | None = None) -> bytes:
        nonlocal count
        if key.endswith(".tar"):
            count += 1
            if count == 3:
                raise CatsdogsError("the network is gone")
        return reads(self, key, start, length)

    monkeypatch.setattr(FolderStore, "read", stops)
    with pytest.raises(CatsdogsError, match="the network is gone"):
        pulled(tmp_path / "b", str(source / "bucket"), transfers=1)
    assert not (tmp_path / "b" / "data" / "ingested").exists()
    done = pulled(tmp_path / "b", str(source / "bucket")).stages["ingested"]
    assert 0 < done.fetched < done.files
    assert tree(tmp_path / "b" / "data") == tree(source / "data")
    assert [path.name for path in (tmp_path / "b" / "data").iterdir()] == ["ingested"]


def test_damaged_and_missing_shards_are_said(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catsdogs.versions.ranges.READS", 2)
    shard = sorted((source / "bucket/datasets/cats-dogs/shards").glob("*.tar"))[0]
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CatsdogsError, match="is damaged: '.*' is not what was stored"):
        pulled(tmp_path / "b", str(source / "bucket"))
    shard.unlink()
    with pytest.raises(CatsdogsError, match=f"is damaged: .*{shard.name} does not exist"):
        pulled(tmp_path / "c", str(source / "bucket"))
    for name in ("b", "c"):
        assert not (tmp_path / name / "data" / "ingested").exists()


def test_versions_that_do_not_exist(source: Path, tmp_path: Path) -> None:
    with pytest.raises(CatsdogsError, match="has no version nope: `catsdogs versions` lists"):
        pulled(tmp_path / "b", str(source / "bucket"), "nope")
    with pytest.raises(CatsdogsError, match="has no processed of c1"):
        pulled(tmp_path / "b", str(source / "bucket"), stage=["processed"])


@pytest.mark.parametrize("spoil", [
    lambda text: text.replace('"files": 63', '"files": 64'), lambda text: text[:-30], lambda text: "", lambda _: "[]",
    lambda text: text.replace('"commit": "c1"', '"commit": "c2"')])
def test_a_damaged_manifest_is_refused(spoil: object, source: Path, tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catsdogs.versions.manifest.READS", 2)
    path = source / "bucket/datasets/cats-dogs/c1/ingested/manifest.json"
    assert '"files": 63' in path.read_text()
    path.write_text(spoil(path.read_text()))  # type: ignore[operator]
    with pytest.raises(Damaged, match="damaged"):
        pulled(tmp_path / "b", str(source / "bucket"))


@pytest.mark.parametrize("value", [
    b"", b"no gzip", gzip.compress(b"[]"), gzip.compress(b"{}"),
    gzip.compress(json.dumps({"under": [], "removed": [], "packs": ["p"], "rows": [["a", "d", 0, -1, 5]]}).encode()),
    gzip.compress(json.dumps({"under": [], "removed": [], "packs": ["p"], "rows": [["a", "d", 1, 0, 5]]}).encode()),
    gzip.compress(json.dumps({"under": [], "removed": [], "packs": ["p"], "rows": [[5, "d", 0, 0, 5]]}).encode()),
    gzip.compress(json.dumps({"under": [], "removed": [], "packs": [], "rows": []}).encode()),
], ids=range(8))  # gzip writes the time of day, and the processes that test must agree on the names
def test_a_damaged_tree_is_refused(value: bytes, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catsdogs.versions.manifest.READS", 2)
    store = open_store(BucketSettings(bucket=str(source / "bucket")))
    (entry,) = store.entries(LAYOUT.trees)
    store.write(entry.key, Content.of(value))
    with pytest.raises(Damaged, match="damaged"):
        pulled(tmp_path / "b", str(source / "bucket"))


def test_names_that_are_no_utf8_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.jpg")
    rows = [Row(name, "d" * 64, "p" * 64, 0, 1)]
    assert Tree.decode(Tree(rows, ["u"], [name]).encode(), "t") == Tree(rows, ["u"], [name])
