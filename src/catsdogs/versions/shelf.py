"""What the bucket holds under shards/: one listing, and the trees that it names."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from catsdogs.errors import CatsdogsError
from catsdogs.stores.store import Content, Entry, Missing, Store
from catsdogs.versions.layout import Layout
from catsdogs.versions.manifest import Damaged, VersionManifest, create, read_checked
from catsdogs.versions.tree import Row, Tree, compose, digest_of_rows


@dataclass
class Shelf:
    """`packs` (by digest) and `trees` (by name) include condemned ones, which no push may build on."""

    packs: dict[str, Entry]
    trees: dict[str, Entry]
    condemned: dict[str, Entry]  # key of the condemned object -> its tombstone
    listed: float  # time.monotonic() of the listing
    known: dict[str, Tree] = field(default_factory=dict)

    def sound_pack(self, layout: Layout, digest: str) -> bool:
        return digest in self.packs and layout.pack(digest) not in self.condemned

    def sound_trees(self, layout: Layout, stage: str) -> list[str]:
        """Names of the stage's trees that are not condemned, newest first."""
        found = [name for name in self.trees
                 if name.startswith(f"{stage}-") and layout.tree(name) not in self.condemned]
        return sorted(found, key=lambda name: -self.trees[name].modified)


def list_shelf(store: Store, layout: Layout) -> Shelf:
    shelf = Shelf({}, {}, {}, time.monotonic())
    for entry in store.entries(layout.shards):
        if entry.key.startswith(layout.condemned):
            shelf.condemned[layout.buried(entry.key)] = entry
        elif entry.key.startswith(layout.trees):
            shelf.trees[entry.key.removeprefix(layout.trees).removesuffix(".json.gz")] = entry
        else:
            shelf.packs[entry.key.removeprefix(layout.shards).removesuffix(".tar")] = entry
    return shelf


def read_tree(store: Store, layout: Layout, name: str) -> Tree:
    """Raises Missing, Damaged."""
    return read_checked(store, layout.tree(name), lambda data: Tree.decode(data, name))


def create_tree(store: Store, layout: Layout, name: str, tree: Tree) -> None:
    """Any tree of this name says the same; the one that is there stays, unless it cannot be read."""
    create(store, layout.tree(name), Content.of(tree.encode()))


def read_trees(store: Store, layout: Layout, names: Iterable[str], transfers: int) -> dict[str, Tree]:
    """Those of `names` that are there, `transfers` at a time."""
    def read(name: str) -> Tree | None:
        try:
            return read_tree(store, layout, name)
        except Missing:
            return None

    wanted = list(names)
    with ThreadPoolExecutor(transfers) as pool:
        return {name: tree for name, tree in zip(wanted, pool.map(read, wanted), strict=True) if tree is not None}


def read_chains(store: Store, layout: Layout, tops: Iterable[str], transfers: int) -> dict[str, Tree]:
    """The trees called `tops`, and those they lie on; what is not there is left out."""
    found = read_trees(store, layout, tops, transfers)
    # Mostly one round: a tree names all that it lay on when it was written; prune may have flattened some since.
    while wanted := {name for tree in found.values() for name in tree.under} - found.keys():
        more = read_trees(store, layout, wanted, transfers)
        found |= more
        if not more:
            break
    return found


def rows_of(store: Store, layout: Layout, manifest: VersionManifest, transfers: int) -> list[Row]:
    """The rows of a version, checked against its digest. Raises CatsdogsError where the tree is gone or damaged."""
    try:
        rows = list(compose(manifest.tree, read_chains(store, layout, [manifest.tree], transfers)).values())
    except KeyError as error:
        raise CatsdogsError(f"{manifest.commit} {manifest.stage} is damaged: the tree {error} is gone.") from None
    if digest_of_rows(rows) != manifest.tree_digest:
        raise Damaged(f"{manifest.commit} {manifest.stage} is damaged: its tree says something else than its manifest.")
    return rows
