"""The same expectations of every store: a folder, gcp-storage-emulator and moto_server."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import MissingExtra, open_store
from catsdogs.stores.store import Content, Exists, Missing, Store

ODD = ["a b/c+d%e.txt", "кіт/猫 & dog?.bin", "q=1#x;y,z'\"!()*~.txt", "deep/er/than/usual"]


@pytest.fixture
def store(bucket: str) -> Store:
    return open_store(BucketSettings(bucket=bucket))


def test_what_is_written_is_read(store: Store) -> None:
    data = bytes(range(256)) * 9000
    store.write("x/large", Content.of(data))
    store.write("x/empty", Content.of(b""))
    assert store.read("x/large") == data
    assert store.read("x/large", 1000, 70_000) == data[1000:71_000]
    assert store.read("x/large", len(data) - 5, 100) == data[-5:]
    assert store.read("x/large", len(data) - 5) == data[-5:]
    assert store.read("x/empty") == b""
    store.write("x/large", Content.of(b"less"))
    assert store.read("x/large") == b"less"


def test_files_are_streamed(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 1_000_000)
    content = Content.file(path)
    assert (content.size, content.sha256) == (3_000_000, hashlib.sha256(path.read_bytes()).hexdigest())
    store.write("file", content)
    assert store.read("file") == path.read_bytes()


def test_creation_never_replaces(store: Store, bucket: str) -> None:
    store.write("one", Content.of(b"first"), absent=True)
    if bucket.startswith("gs://"):
        return
    with pytest.raises(Exists):
        store.write("one", Content.of(b"second"), absent=True)
    assert store.read("one") == b"first"


def test_of_many_creators_one_wins(store: Store, bucket: str) -> None:
    if bucket.startswith("gs://"):
        return  # the emulator ignores preconditions; test_http looks at the request instead

    def create(number: int) -> bool:
        try:
            store.write("race", Content.of(b"%d" % number), absent=True)
        except Exists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(16)))
    assert sum(won) == 1
    assert store.read("race") == b"%d" % won.index(True)


def test_missing_objects_and_deletion(store: Store) -> None:
    with pytest.raises(Missing) as caught:
        store.read("no/such")
    assert caught.value.key == "no/such"
    store.delete("no/such")
    store.write("some/thing", Content.of(b"x"))
    assert store.holds("some/thing", Content.of(b"x"))
    store.delete("some/thing")
    assert not store.holds("some/thing", Content.of(b"x"))
    assert store.entries("") == []


def test_holds_compares_the_bytes(store: Store) -> None:
    store.write("k", Content.of(b"right"))
    assert store.holds("k", Content.of(b"right"))
    assert not store.holds("k", Content.of(b"wrong"))
    assert not store.holds("k", Content.of(b"right and more"))


def test_listing_and_odd_names(store: Store) -> None:
    for number, key in enumerate(ODD):
        store.write(f"a/{key}", Content.of(b"x" * number))
    store.write("ab", Content.of(b"beside"))
    store.write("a/flat", Content.of(b"beside"))
    found = store.entries("a/")
    assert [entry.key for entry in found] == sorted(["a/flat", *(f"a/{key}" for key in ODD)])
    assert {entry.key: entry.size for entry in found}[f"a/{ODD[2]}"] == 2
    assert all(1.6e9 < entry.modified < 1e10 for entry in found)
    assert store.folders("a/") == sorted(["a b", "кіт", "deep"])
    assert store.folders("none/") == []
    for key in ODD:
        assert store.read(f"a/{key}") == b"x" * ODD.index(key)


def test_listings_of_many_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")  # the Google emulator has no pages
    for number in range(25):
        store.write(f"m/{number:02}/k", Content.of(b""))
    assert [entry.key for entry in store.entries("m/")] == [f"m/{number:02}/k" for number in range(25)]
    assert store.folders("m/") == [f"{number:02}" for number in range(25)]


def test_a_folder_inside_a_bucket(bucket: str) -> None:
    inner = open_store(BucketSettings(bucket=bucket + "/in/side"))
    inner.write("x/k", Content.of(b"v"))
    assert [entry.key for entry in inner.entries("")] == ["x/k"] and inner.folders("") == ["x"]
    assert open_store(BucketSettings(bucket=bucket)).read("in/side/x/k") == b"v"


def test_a_bucket_that_does_not_exist(bucket: str) -> None:
    if "://" not in bucket:
        return
    store = open_store(BucketSettings(bucket=bucket + "-not"))
    with pytest.raises(CatsdogsError, match="no bucket .*-not: create it"):
        store.entries("")
    with pytest.raises(CatsdogsError, match="no bucket"):
        store.write("k", Content.of(b""))


@pytest.mark.parametrize(("address", "words"), [
    ("", "--bucket gs://name"), ("ftp://host/x", "ftp:// is not supported"), ("gs://", "names no bucket"),
    ("s3://name?x=1", "names no bucket"), ("s3://key@name", "names no bucket"),
])
def test_addresses_that_are_none(address: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("?", r"\?")):
        open_store(BucketSettings(bucket=address))


@pytest.mark.parametrize(("address", "extra", "module"), [
    ("gs://name", "gcs", "google_crc32c"), ("s3://name", "s3", "botocore")])
def test_a_missing_extra_is_named(address: str, extra: str, module: str) -> None:
    code = (f"import sys; sys.modules[{module!r}] = None\nfrom catsdogs.cli import main\n"
            f"sys.exit(main(['versions', '--bucket', {address!r}]))")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 1
    assert answer.stderr == (f"catsdogs versions: {address[:5]} is supported, but needs the extra `{extra}`: "
                             f"pip install 'catsdogs[{extra}]'.\n")
    assert MissingExtra("s3", "s3").extra == "s3"


def test_missing_credentials_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(CatsdogsError, match="No AWS credentials: run `aws configure`"):
        open_store(BucketSettings(bucket="s3://name"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(CatsdogsError, match="No Google credentials: run `gcloud auth"):
        open_store(BucketSettings(bucket="gs://name")).read("x")
