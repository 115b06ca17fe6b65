"""Reading with a generation and replacing only that one, on every kind of store."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from catsdogs.artifacts import Document
from catsdogs.guarded import Guarded, Overtaken, Seen
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Changed, Content, Exists, Missing, Store


class Note(Document):
    text: str


@pytest.fixture
def store(strict_bucket: str) -> Store:
    return open_store(BucketSettings(bucket=strict_bucket))


def test_what_was_read_may_be_replaced_once(store: Store) -> None:
    with pytest.raises(Missing):
        store.current("k")
    store.write("k", Content.of(b"one"), absent=True)
    with pytest.raises(Exists):
        store.write("k", Content.of(b"other"), absent=True)
    data, generation = store.current("k")
    assert data == b"one"
    store.replace("k", Content.of(b"two"), generation)
    with pytest.raises(Changed, match="has been replaced meanwhile"):
        store.replace("k", Content.of(b"three"), generation)
    assert store.current("k")[0] == b"two"
    generation = store.current("k")[1]
    store.delete("k")
    with pytest.raises(Changed):
        store.replace("k", Content.of(b"four"), generation)
    assert store.entries("") == []


def test_of_many_who_replace_one_wins(store: Store) -> None:
    store.write("deep/k", Content.of(b"start"))
    generation = store.current("deep/k")[1]

    def replace(number: int) -> bool:
        try:
            store.replace("deep/k", Content.of(b"%d" % number), generation)
        except Changed:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(replace, range(16)))
    assert sum(won) == 1 and store.current("deep/k")[0] == b"%d" % won.index(True)
    assert [entry.key for entry in store.entries("deep/")] == ["deep/k"]  # the folder's lock is no object


def test_a_guarded_object(store: Store) -> None:
    guarded = Guarded(store, "note.json", Note)
    seen = guarded.read()
    assert seen == Seen(None, None)
    guarded.put(Note(text="first"), seen)
    guarded.put(Note(text="first"), seen)  # as when the answer to the first attempt was lost
    with pytest.raises(Overtaken):
        guarded.put(Note(text="second"), seen)
    guarded.put(Note(text="second"), guarded.read())
    assert guarded.read().value == Note(text="second")
