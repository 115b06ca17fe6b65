import json
import os
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any, cast

import pytest

from catsdogs.cli import main
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import sha256
from catsdogs.settings.versions import BucketSettings, VersionsSettings
from catsdogs.storage import open_store
from catsdogs.versions import push as push_module
from catsdogs.versions.listing import versions
from catsdogs.versions.pusher import packing
from tests.versions.folders import blob, pulled, pushed, tree, write_stage


def objects(bucket: str) -> dict[str, int]:
    return {entry.key: entry.size for entry in open_store(BucketSettings(bucket=bucket)).entries("")}


def shards(bucket: str) -> dict[str, int]:
    return {key: size for key, size in objects(bucket).items() if key.endswith(".tar")}


def settle(root: Path) -> None:
    """Make files old enough to be remembered: changes within the clock's last ticks are read again."""
    import catsdogs.versions.disk as disk

    disk.FRESH_SECONDS = -10.0
    assert root.exists()


@pytest.fixture(autouse=True)
def _fresh_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catsdogs.versions.disk.FRESH_SECONDS", 2.0)


def test_there_and_back_again_byte_for_byte(bucket: str, tmp_path: Path) -> None:
    folder = write_stage(tmp_path / "a" / "data", 120)
    (folder / "cat" / "large.bin").write_bytes(blob(7, 9_000_000))  # more than one request
    (folder / "cat" / "empty.jpg").touch()
    (folder / "dog" / "again.jpg").write_bytes(blob(0))  # the bytes of 00000.jpg
    for name in ("ein Hund.jpg", "zwei\nZeilen.jpg", "кіт 猫.jpg", 'quote"s,comma\\.jpg',
                 os.fsdecode(b"latin-\xe9.jpg")):
        (folder / "dog" / name).write_bytes(blob(len(name)))
    result = pushed(tmp_path / "a", bucket)
    assert result.stages["ingested"].packs > 3
    pulled(tmp_path / "b", bucket)
    assert tree(tmp_path / "b" / "data" / "ingested") == tree(folder)
    assert sorted(path.name for path in (tmp_path / "b" / "data").iterdir()) == ["ingested"]


def test_shards_are_tars_named_by_their_digest(tmp_path: Path) -> None:
    folder = write_stage(tmp_path / "data", 60)
    bucket = tmp_path / "bucket"
    pushed(tmp_path, str(bucket))
    content = {sha256(data): data for data in tree(folder).values()}
    members = {}
    for path in (bucket / "datasets/cats-dogs/shards").glob("*.tar"):
        assert path.stem == sha256(path.read_bytes())
        with tarfile.open(path) as tar:
            members |= {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert members == content
    assert (bucket / "datasets/cats-dogs/c1/ingested/manifest.json").exists()


def test_an_unchanged_commit_is_one_small_file_in_three_requests(bucket: str, tmp_path: Path) -> None:
    write_stage(tmp_path / "data", 100)
    pushed(tmp_path, bucket)
    before = objects(bucket)
    again = pushed(tmp_path, bucket, "c2")
    assert again.requests <= 3
    new = {key: size for key, size in objects(bucket).items() if key not in before}
    assert list(new) == ["datasets/cats-dogs/c2/ingested/manifest.json"] and sum(new.values()) < 600
    fresh = tmp_path / "elsewhere"  # another machine, which remembers nothing
    assert pushed(tmp_path, bucket, "c3", cache_dir=fresh).requests <= 3
    assert again.stages["ingested"].uploaded == 0
    assert pushed(tmp_path, bucket, "c2").stages["ingested"].before


def test_one_percent_of_new_photos_is_one_percent_of_new_bytes(bucket: str, tmp_path: Path) -> None:
    write_stage(tmp_path / "data", 400)
    pushed(tmp_path, bucket)
    before = objects(bucket)
    write_stage(tmp_path / "data", 4, first=400)
    result = pushed(tmp_path, bucket, "c2")
    new = {key: size for key, size in objects(bucket).items() if key not in before}
    assert len(new) == 3  # shard, tree, manifest
    assert sum(new.values()) < 0.025 * sum(before.values())
    assert result.stages["ingested"].packs == 1
    for commit, count in (("c1", 400), ("c2", 404)):
        pulled(tmp_path / commit, bucket, commit)
        assert len(list((tmp_path / commit).rglob("*.jpg"))) == count


def test_what_two_stages_share_is_stored_once(tmp_path: Path) -> None:
    write_stage(tmp_path / "data", 50, stage="raw")
    write_stage(tmp_path / "data", 50, stage="ingested")
    result = pushed(tmp_path, str(tmp_path / "bucket"))
    assert result.stages["raw"].packs > 1 and result.stages["ingested"].packs == 0
    pulled(tmp_path / "b", str(tmp_path / "bucket"))
    assert tree(tmp_path / "b" / "data") == tree(tmp_path / "data")


def test_many_small_versions_lie_on_one_another_but_not_for_ever(tmp_path: Path) -> None:
    bucket = str(tmp_path / "bucket")
    expected = {}
    for number in range(12):
        folder = write_stage(tmp_path / "data", 200 + number)
        (folder / "cat" / f"{number * 2:05}.jpg").unlink()  # something goes, something comes
        pushed(tmp_path, bucket, f"v{number}")
        expected[f"v{number}"] = tree(folder)
    for name in ("v0", "v7", "v8", "v9", "v11"):
        pulled(tmp_path / name, bucket, name)
        assert tree(tmp_path / name / "data" / "ingested") == expected[name]
    trees = {key: size for key, size in objects(bucket).items() if "/trees/" in key}
    assert len(trees) == 12 and sorted(trees.values())[6] < 0.1 * max(trees.values())


def test_a_version_is_never_overwritten(bucket: str, tmp_path: Path) -> None:
    folder = write_stage(tmp_path / "data", 20)
    pushed(tmp_path, bucket)
    before = objects(bucket)
    (folder / "cat" / "00000.jpg").write_bytes(b"another cat")
    with pytest.raises(CatsdogsError, match="never overwritten: commit the change"):
        pushed(tmp_path, bucket)
    assert objects(bucket) == before


def test_of_two_pushes_of_one_commit_the_first_stays(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bucket.startswith("gs://"):
        return  # the emulator ignores preconditions
    folder = write_stage(tmp_path / "data", 20)
    pushed(tmp_path, bucket)
    key = "datasets/cats-dogs/c1/ingested/manifest.json"
    before = open_store(BucketSettings(bucket=bucket)).read(key)
    reads = push_module.read_manifest
    for content in (None, b"another cat"):  # the other push wrote the same; something else
        if content:
            (folder / "cat" / "00000.jpg").write_bytes(content)
        answers = iter([None])  # when this push looked, the other had not ended
        monkeypatch.setattr(push_module, "read_manifest", lambda *arguments: next(answers, reads(*arguments)))
        if content:
            with pytest.raises(CatsdogsError, match="never overwritten"):
                pushed(tmp_path, bucket)
        else:
            pushed(tmp_path, bucket)
        assert open_store(BucketSettings(bucket=bucket)).read(key) == before


def test_a_change_that_keeps_size_and_mtime_is_seen(tmp_path: Path) -> None:
    folder = write_stage(tmp_path / "data", 10)
    settle(folder)
    bucket = str(tmp_path / "bucket")
    pushed(tmp_path, bucket)
    path = folder / "cat" / "00000.jpg"
    status, data = path.stat(), path.read_bytes()
    time.sleep(0.02)
    path.write_bytes(data[:-1] + b"?")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    pushed(tmp_path, bucket, "c2")
    pulled(tmp_path / "b", bucket, "c2")
    assert (tmp_path / "b/data/ingested/cat/00000.jpg").read_bytes() == data[:-1] + b"?"


def test_digests_are_remembered_and_forgotten_on_demand(tmp_path: Path) -> None:
    folder = write_stage(tmp_path / "data", 10)
    settle(folder)
    bucket = str(tmp_path / "bucket")
    pushed(tmp_path, bucket)
    (memory,) = (tmp_path / ".catsdogs").glob("ingested-*.json")
    assert (tmp_path / ".catsdogs" / ".gitignore").read_text() == "*\n"
    text = memory.read_text()
    memory.write_text(text.replace(json.loads(text.splitlines()[0])["tree"], sha256(b"wrong")))  # a lie of its own
    with pytest.raises(CatsdogsError):
        pushed(tmp_path, bucket)
    assert pushed(tmp_path, bucket, rehash=True).stages["ingested"].before
    memory.write_text("[]")
    assert pushed(tmp_path, bucket).stages["ingested"].before


def test_models_are_plain_objects(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.pt").write_bytes(blob(1, 50_000))
    with pytest.raises(UsageError, match="model.onnx is missing.*catsdogs train"):
        pushed(tmp_path, bucket)
    (tmp_path / "models" / "model.onnx").write_bytes(blob(2, 9_000_000))
    (tmp_path / "metrics.json").write_text("{}")
    store = open_store(BucketSettings(bucket=bucket))
    from catsdogs.stores.store import Content
    store.write("models/c1/model.pt", Content.of(b"half a push that died, before another training"))
    pushed(tmp_path, bucket)
    assert store.read("models/c1/model.pt") == blob(1, 50_000)
    assert {key for key in objects(bucket) if key.startswith("models/")} == {
        "models/c1/model.pt", "models/c1/model.onnx", "models/c1/metrics.json"}
    pulled(tmp_path / "b", bucket)
    assert tree(tmp_path / "b") == {"models/model.pt": blob(1, 50_000), "models/model.onnx": blob(2, 9_000_000),
                                    "metrics.json": b"{}"}
    (tmp_path / "models" / "model.pt").write_bytes(b"another model")
    with pytest.raises(CatsdogsError, match="never overwritten"):
        pushed(tmp_path, bucket)
    assert store.read("models/c1/model.pt") == blob(1, 50_000)


def test_unpacked_also_stores_plain_files(bucket: str, tmp_path: Path) -> None:
    folder = write_stage(tmp_path / "data", 12)
    raw = write_stage(tmp_path / "data", 12, stage="raw")
    store = open_store(BucketSettings(bucket=bucket))
    from catsdogs.stores.store import Content
    for leftover in ("cat/00000.jpg", "cat/gone.jpg"):  # of a push that died
        store.write(f"datasets/cats-dogs/c1/ingested/{leftover}", Content.of(b"x"))
    assert pushed(tmp_path, bucket, unpacked=True).stages["ingested"].plain == 15
    for stage, prefix in ((folder, "datasets/cats-dogs/c1/ingested/"), (raw, "datasets/cats-dogs/raw/")):
        found = {key.removeprefix(prefix): store.read(key) for key in objects(bucket) if key.startswith(prefix)}
        found.pop("manifest.json", None)
        assert found == tree(stage)
    (raw / "cat" / "00000.jpg").write_bytes(b"changed")
    with pytest.raises(CatsdogsError, match="cats-dogs/raw/cat/00000.jpg holds other bytes and is never replaced"):
        pushed(tmp_path, bucket, "c2", unpacked=True, stage=["raw"])
    assert not any("/c2/" in key for key in objects(bucket))


def test_unpacked_comes_later_to_a_version_that_is_there(tmp_path: Path) -> None:
    folder = write_stage(tmp_path / "data", 5)
    bucket = str(tmp_path / "bucket")
    pushed(tmp_path, bucket)
    assert pushed(tmp_path, bucket, unpacked=True).stages["ingested"].plain == 8
    assert pushed(tmp_path, bucket, unpacked=True).stages["ingested"].plain == 0
    assert {name: data for name, data in tree(tmp_path / "bucket/datasets/cats-dogs/c1/ingested").items()
            if name != "manifest.json"} == tree(folder)


def test_links_and_other_things_are_refused_by_name(tmp_path: Path) -> None:
    folder = write_stage(tmp_path / "data", 4)
    link = folder / "cat" / "link.jpg"
    for target in ("/etc/passwd", "00000.jpg", "/etc"):
        link.symlink_to(target)
        with pytest.raises(UsageError, match=r"link\.jpg' is a symbolic link"):
            pushed(tmp_path, str(tmp_path / "bucket"))
        link.unlink()
    os.mkfifo(link)
    with pytest.raises(UsageError, match="no plain file"):
        pushed(tmp_path, str(tmp_path / "bucket"))
    assert not (tmp_path / "bucket").exists()


def test_unfinished_and_absent_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CatsdogsError, match="holds anything to push"):
        pushed(tmp_path, str(tmp_path / "bucket"))
    (write_stage(tmp_path / "data", 4) / "manifest.csv").unlink()
    with pytest.raises(UsageError, match="manifest.csv is missing, so .* is unfinished: run `catsdogs ingest`"):
        pushed(tmp_path, str(tmp_path / "bucket"))
    with pytest.raises(UsageError, match="holds nothing to push"):
        pushed(tmp_path, str(tmp_path / "bucket"), stage=["processed"])
    for name in ("../x", "raw", "shards", "a/b", ""):
        with pytest.raises(UsageError):
            pushed(tmp_path, str(tmp_path / "bucket"), name)


def test_the_commit_is_the_name_and_a_dirty_tree_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_stage(tmp_path / "data", 4)
    push = ["push", "--bucket", str(tmp_path / "bucket")]
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert main(push) == 2
    assert "no git commit here" in capsys.readouterr().err
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    (tmp_path / ".gitignore").write_text("data\nbucket\n")
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "code.py").touch()
    assert main(push) == 2
    assert "has changes" in capsys.readouterr().err
    assert main([*push, "--allow-dirty"]) == 0
    (tmp_path / "code.py").unlink()
    assert main(push) == 0  # neither the cache nor anything else of ours makes the tree dirty
    assert main(["pull", "--bucket", str(tmp_path / "bucket"), "--commit", head[:10], "--data-dir", "d2"]) == 0
    assert tree(tmp_path / "d2") == tree(tmp_path / "data")
    (listed,) = versions(VersionsSettings(bucket=str(tmp_path / "bucket"))).versions
    assert listed.commit == head


def test_versions_say_what_is_shared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bucket = str(tmp_path / "bucket")
    assert main(["versions", "--bucket", bucket]) == 0
    assert "holds no version yet" in capsys.readouterr().out
    write_stage(tmp_path / "data", 100)
    pushed(tmp_path, bucket)
    write_stage(tmp_path / "data", 25, first=100)
    pushed(tmp_path, bucket, "c2")
    new, old = versions(VersionsSettings(bucket=bucket)).versions
    assert (new.commit, new.files, old.commit, old.files) == ("c2", 128, "c1", 103)
    assert new.alone == sum(len(blob(number)) for number in range(100, 125)) + len("rows 125\n")
    assert old.alone == len("rows 100\n")
    assert main(["versions", "--bucket", bucket]) == 0
    assert "c2            ingested" in capsys.readouterr().out


def test_where_something_fails_no_pack_stays_open(tmp_path: Path) -> None:
    store, nothing = open_store(BucketSettings(bucket=str(tmp_path))), cast(Any, None)
    with pytest.raises(FileNotFoundError), packing(store, nothing, nothing, 10**9, 2) as packer:
        packer.add("a" * 64, 3, iter([b"abc"]))
        raise FileNotFoundError("it was there a moment ago")
    (pack,) = packer.packs
    assert pack._file.closed
