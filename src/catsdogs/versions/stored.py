"""Stages of versions, read and written without a folder: what ingest and preprocess do in a bucket."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from catsdogs.errors import CatsdogsError
from catsdogs.files import sha256
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Content, Exists, Missing, Store
from catsdogs.versions.layout import Layout
from catsdogs.versions.manifest import VersionManifest, create, read_manifest
from catsdogs.versions.packs import Pack
from catsdogs.versions.ranges import RANGE, Span, read_large, read_span, spans
from catsdogs.versions.shelf import Shelf, create_tree, list_shelf, rows_of
from catsdogs.versions.tree import Row, Tree, digest_of_rows, path_bytes


@dataclass(frozen=True)
class Bucket:
    """Where versions are. Crosses to workers on other machines, each of which opens a connection of its own."""

    settings: BucketSettings

    @property
    def store(self) -> Store:
        return _opened(self.settings, os.getpid())

    @property
    def layout(self) -> Layout:
        return Layout(self.settings.dataset)

    def rows(self, commit: str, stage: str) -> dict[str, Row]:
        """By path. Raises CatsdogsError where the version has no such stage."""
        manifest = read_manifest(self.store, self.layout, commit, stage)
        if manifest is None:
            raise CatsdogsError(f"{self.store.url} has no {stage} of {commit}: `catsdogs versions` lists what there "
                                "is, `catsdogs push` adds to it.")
        return {row.path: row for row in rows_of(self.store, self.layout, manifest, self.settings.transfers)}

    def contents(self, rows: Iterable[Row]) -> Iterator[tuple[Row, bytes]]:
        """Each row with its bytes, checked; neighbours in one request, in the order in which they lie."""
        for span in spans(rows):
            key = self.layout.pack(span.rows[0].pack)
            try:
                yield from _read(self.store, key, span)
            except Missing:
                raise CatsdogsError(f"{self.store.url}/{key} is gone: `catsdogs prune` has moved what it held; run the "
                                    "same command again, finished work is kept.") from None

    def content(self, row: Row) -> bytes:
        return next(data for _, data in self.contents([row]))

    def shelf(self) -> Shelf:
        return list_shelf(self.store, self.layout)

    def add_pack(self, contents: Iterable[tuple[str, bytes]], condemned: Iterable[str]) -> list[Row]:
        """Store (path, bytes) in one new shard. The same contents make the same shard: doing it twice is harmless."""
        refused = set(condemned)
        pack, places = Pack(), dict[str, int]()
        found: list[tuple[str, str, int]] = []
        try:
            for path, data in contents:
                digest = sha256(data)
                if digest not in places:
                    places[digest] = pack.add(digest, len(data), iter([data]))
                found.append((path, digest, len(data)))
            content = pack.finish(lambda digest: self.layout.pack(digest) in refused)
            create(self.store, self.layout.pack(pack.digest), content)
        finally:
            pack.close()
        return [Row(path, digest, pack.digest, places[digest], length) for path, digest, length in found]

    def publish(self, commit: str, stage: str, rows: list[Row], folder: Path) -> None:
        """Make `rows` and the few files of `folder` a stage of a version, as push would: the manifest comes last.

        Raises CatsdogsError where prune is about to free what it names, and where the version is there and differs.
        """
        shelf = self.shelf()
        if any(not shelf.sound_pack(self.layout, pack) for pack in {row.pack for row in rows}):
            raise CatsdogsError("`catsdogs prune` ran meanwhile and is about to free what this version needs: run the "
                                "same command again.")
        few = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
        rows = sorted([*rows, *self.add_pack(few, shelf.condemned)], key=lambda row: path_bytes(row.path))
        digest = digest_of_rows(rows)
        name = f"{stage}-{digest}"
        if self.layout.tree(name) in shelf.condemned:
            name += f"-{time.time_ns():x}"  # prune is about to delete the other
        create_tree(self.store, self.layout, name, Tree(rows))
        manifest = VersionManifest(
            commit=commit, stage=stage, created=time.time(), files=len(rows), size=sum(row.length for row in rows),
            tree=name, tree_digest=digest, unpacked=False).sealed()
        try:
            self.store.write(self.layout.manifest(commit, stage), Content.of(manifest.encode()), absent=True)
        except Exists:  # an earlier run's, or our own request whose answer was lost
            there = read_manifest(self.store, self.layout, commit, stage)
            if there is None or there.tree_digest != digest:
                raise CatsdogsError(f"{commit} {stage} is in {self.store.url} already, with other content, and a "
                                    "version is never overwritten: name another --commit.") from None


def _read(store: Store, key: str, span: Span) -> list[tuple[Row, bytes]]:
    if span.length == 0:
        return [(row, b"") for row in span.rows]
    if span.length <= RANGE:
        return read_span(store, key, span)
    (row,) = span.rows
    data = bytearray(row.length)

    def keep(start: int, part: bytes) -> None:
        data[start:start + len(part)] = part

    read_large(store, key, row, keep)
    return [(row, bytes(data))]


@lru_cache(maxsize=2)
def _opened(settings: BucketSettings, process: int) -> Store:
    """`process` is part of the key: a forked process would share its parent's connections."""
    return open_store(settings)
