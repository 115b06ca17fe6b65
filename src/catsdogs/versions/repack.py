"""Moves what is still named out of sparse packs into new ones, and says in the trees where it went."""

import tempfile
import time

from catsdogs.errors import CatsdogsError
from catsdogs.stores.store import PIECE, Content, Store
from catsdogs.versions.layout import Layout
from catsdogs.versions.pusher import Packer, packing
from catsdogs.versions.ranges import RANGE, read_large, read_span, spans
from catsdogs.versions.shelf import Shelf
from catsdogs.versions.tree import Row, Tree

PACK_SIZE = 64_000_000
PATIENCE_SECONDS = 3600.0  # a tree read longer ago is not rewritten: another prune may have moved its contents


def repack(store: Store, layout: Layout, shelf: Shelf, trees: dict[str, Tree], sparse: set[str], transfers: int,
           started: float) -> None:
    """Rewrite `trees` (all that versions name) so that nothing lies in `sparse` packs any more.

    Manifests stay as they are: they name trees by what they mean, and that does not change. The old packs stay where
    they are too, for whoever is reading them.
    """
    moving = {row.digest: row for tree in trees.values() for row in tree.rows if row.pack in sparse}
    with packing(store, layout, shelf, PACK_SIZE, transfers) as packer:
        for span in spans(moving.values()):
            key = layout.pack(span.rows[0].pack)
            if span.length > RANGE:
                _move_large(store, key, span.rows[0], packer)
            else:
                for row, data in read_span(store, key, span) if span.length else [(row, b"") for row in span.rows]:
                    packer.add(row.digest, row.length, iter([data]))
    if time.monotonic() - started > PATIENCE_SECONDS:
        raise CatsdogsError("Packing anew took too long to be safe beside another prune; nothing was freed: run the "
                            "same command again.")
    for name, tree in trees.items():
        if any(row.pack in sparse for row in tree.rows):
            rows = [Row(row.path, row.digest, *packer.place(row.digest), row.length) if row.pack in sparse else row
                    for row in tree.rows]
            store.write(layout.tree(name), Content.of(Tree(rows, tree.under, tree.removed).encode()))


def _move_large(store: Store, key: str, row: Row, packer: Packer) -> None:
    """By way of the disk: its digest is known only at the end, and a pack takes nothing back."""
    with tempfile.TemporaryFile(prefix="catsdogs-") as file:
        def write(start: int, data: bytes) -> None:
            file.seek(start)
            file.write(data)

        read_large(store, key, row, write)
        file.seek(0)
        packer.add(row.digest, row.length, iter(lambda: file.read(PIECE), b""))
