"""What goes wrong on the way is tried again, and what cannot be mended is said at once."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from catsdogs.errors import CatsdogsError
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from catsdogs.stores import http
from catsdogs.stores.store import Content, Exists, Store
from tests.buckets import Servers, environment, new_bucket
from tests.faults import KINDS, Faults, proxy

DATA = bytes(range(256)) * 300


@pytest.fixture(params=["gs", "s3"])
def shaky(request: pytest.FixtureRequest, object_servers: Servers, tmp_path: Path,
          monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Store, Faults]]:
    """A store behind a proxy that spoils what it is told to."""
    monkeypatch.setattr(http, "FIRST_PAUSE", 0.01)
    faults = Faults(getattr(object_servers, request.param))
    address = new_bucket(request.param, object_servers, tmp_path)
    with proxy(faults) as port:
        for name, value in environment(request.param, port).items():
            monkeypatch.setenv(name, value)
        yield open_store(BucketSettings(bucket=address, stall_seconds=0.5)), faults


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "corrupted"])
def test_every_fault_is_survived_by_every_verb(kind: str, shaky: tuple[Store, Faults]) -> None:
    store, faults = shaky

    def twice() -> None:
        faults.script = [kind, kind] if kind != "trickle" else [kind]

    for verb in (
        lambda: store.write("a/k", Content.of(DATA)),
        lambda: store.read("a/k") == DATA or pytest.fail("other bytes"),
        lambda: store.read("a/k", 100, 1000) == DATA[100:1100] or pytest.fail("other bytes"),
        lambda: [entry.size for entry in store.entries("a/")] == [len(DATA)] or pytest.fail("other listing"),
        lambda: store.holds("a/k", Content.of(DATA)) or pytest.fail("not held"),
    ):
        twice()
        verb()  # type: ignore[no-untyped-call]
    if kind == "trickle":
        time.sleep(0.3)
        assert faults.abandoned >= 2  # reads of more than 600 bytes
    twice()
    store.delete("a/k")
    faults.script = []
    assert store.entries("") == []
    assert faults.seen[kind] > 4


def test_creation_asks_for_it_to_be_absent(shaky: tuple[Store, Faults]) -> None:
    """The Google emulator ignores the precondition: here the request itself is looked at."""
    store, faults = shaky
    store.write("k", Content.of(DATA), absent=True)
    if store.url.startswith("gs://"):
        assert "ifGenerationMatch=0" in faults.requests[-1][1]
    else:
        with pytest.raises(Exists):
            store.write("k", Content.of(b"other"), absent=True)


def test_a_creation_whose_answer_is_lost_meets_itself(shaky: tuple[Store, Faults]) -> None:
    store, faults = shaky
    faults.script = ["lost"]
    try:
        store.write("k", Content.of(DATA), absent=True)
    except Exists:
        assert store.url.startswith("s3://")
    assert store.holds("k", Content.of(DATA))


def test_corrupted_whole_answers_are_noticed_where_the_server_sends_checksums(shaky: tuple[Store, Faults]) -> None:
    store, faults = shaky
    if store.url.startswith("s3://"):
        return  # manifests, trees and photos carry their own digests: tests/versions
    store.write("k", Content.of(DATA))
    faults.script = ["corrupted", "corrupted"]
    assert store.read("k") == DATA


def test_what_never_gets_better_is_given_up(shaky: tuple[Store, Faults], monkeypatch: pytest.MonkeyPatch) -> None:
    store, faults = shaky
    faults.share = 1.0  # every request gets a 429
    monkeypatch.setattr(http, "LONGEST_PAUSE", 0.05)
    with pytest.raises(CatsdogsError, match=r"failed 12 times, at last with: 429 not now; run the same command again"):
        store.read("k")
    assert len(faults.requests) == http.ATTEMPTS


def test_pauses_grow_and_are_random(shaky: tuple[Store, Faults], monkeypatch: pytest.MonkeyPatch) -> None:
    store, faults = shaky
    faults.script = ["503"] * 6
    pauses: list[float] = []
    monkeypatch.setattr(http.random, "uniform", lambda low, high: pauses.append(high) or 0.0)
    store.entries("")
    assert pauses == pytest.approx([0.01 * 2**number for number in range(6)])


def test_a_refusal_is_not_tried_again(shaky: tuple[Store, Faults]) -> None:
    store, faults = shaky
    before = len(faults.requests)
    with pytest.raises(CatsdogsError, match="no bucket"):
        open_store(BucketSettings(bucket=store.url + "-not")).entries("")
    assert len(faults.requests) == before + 1


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LONGEST_PAUSE", 0.02)
    for name, value in environment("s3", 9).items():
        monkeypatch.setenv(name, value)
    started = time.monotonic()
    with pytest.raises(CatsdogsError, match="failed 12 times"):
        open_store(BucketSettings(bucket="s3://nowhere")).read("k")
    assert time.monotonic() - started < 30
