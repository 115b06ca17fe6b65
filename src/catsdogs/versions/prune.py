"""`catsdogs prune`: free what no version names.

No lock: what becomes free is condemned first, by a tombstone that every push obeys, and deleted by a later prune once
the grace has passed and still nothing names it. A push that had begun before the tombstone was written ends (or looks
again) long before that; what it named meanwhile gets its tombstone taken away. The order matters: trees are condemned
before the packs they name, so that a listing which shows a sound tree is older than its packs' tombstones.
"""

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from catsdogs.errors import CatsdogsError
from catsdogs.settings.versions import PruneSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Content, Store
from catsdogs.versions.layout import MANIFEST, Layout
from catsdogs.versions.listing import all_manifests
from catsdogs.versions.manifest import VersionManifest
from catsdogs.versions.packs import END, member_size
from catsdogs.versions.repack import repack
from catsdogs.versions.shelf import Shelf, list_shelf, read_chains
from catsdogs.versions.transfers import Transfers
from catsdogs.versions.tree import PLAIN, Tree, compose


@dataclass(frozen=True, kw_only=True)
class PruneResult:
    bucket: str
    applied: bool
    kept: list[str]  # versions of data
    forgotten: list[str]  # versions whose names go
    plain: int  # plain copies that go with them
    condemned: int  # bytes that a prune after the grace will delete
    repacked: int  # bytes moved out of sparse shards
    deleted: int  # bytes deleted now
    spared: int  # tombstones taken away: named again
    seconds: float

    def text(self) -> str:
        done = "" if self.applied else "would have "
        lines = [
            f"versions     {len(self.kept):,} kept, {len(self.forgotten):,} {done}forgotten"
            + (f": {', '.join(name[:12] for name in self.forgotten)}" if self.forgotten else ""),
            f"plain files  {self.plain:,} {done}deleted with them",
            f"condemned    {self.condemned / 1e6:,.1f} MB {done}marked, to be deleted by a prune after the grace",
            f"repacked     {self.repacked / 1e6:,.1f} MB {done}moved out of sparse shards",
            f"deleted      {self.deleted / 1e6:,.1f} MB {done}freed now; {self.spared:,} marks taken away",
        ]
        return "\n".join([*lines, *([] if self.applied else ["nothing was changed: --apply does it"])])

    def data(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class _Prune:
    settings: PruneSettings
    store: Store
    layout: Layout
    counts: Counter[str] = field(default_factory=Counter)

    def delete(self, key: str) -> None:
        if self.settings.apply:
            self.store.delete(key)

    def write_tree(self, name: str, tree: Tree) -> None:
        if self.settings.apply:
            self.store.write(self.layout.tree(name), Content.of(tree.encode()))

    def condemn(self, key: str, size: int) -> None:
        self.counts["condemned"] += size
        if self.settings.apply:
            self.store.write(self.layout.tombstone(key), Content.of(b""))


def prune(settings: PruneSettings) -> PruneResult:
    """Forget all but the newest `keep` versions of the data, and free what nothing names. Models are never touched."""
    started = time.monotonic()
    store, layout = open_store(settings), Layout(settings.dataset)
    run = _Prune(settings, store, layout)
    manifests = all_manifests(store, layout, settings.transfers)
    order = list(dict.fromkeys(manifest.commit for manifest in manifests if manifest.stage != "models"))
    kept, forgotten = order[:settings.keep], order[settings.keep:]
    doomed = [manifest for manifest in manifests if manifest.stage != "models" and manifest.commit in forgotten]
    plain = _forget(run, doomed)
    living = [manifest for manifest in manifests if manifest not in doomed]
    if settings.apply:
        living = all_manifests(store, layout, settings.transfers)  # a push may have ended meanwhile
    # Listed before the trees are read: what appears in between is too young to be condemned.
    shelf = list_shelf(store, layout)
    trees = _live_trees(run, living)
    _bury(run, shelf, trees)
    _sweep(run, shelf, trees, started)
    return PruneResult(
        bucket=store.url, applied=settings.apply, kept=kept, forgotten=forgotten, plain=plain,
        condemned=run.counts["condemned"], repacked=run.counts["repacked"], deleted=run.counts["deleted"],
        spared=run.counts["spared"], seconds=time.monotonic() - started)


def _forget(run: _Prune, doomed: list[VersionManifest]) -> int:
    """The manifest first: a version without its plain copies must not look whole."""
    plain = 0
    with Transfers(run.settings.transfers, waiting=run.settings.transfers) as pool:
        for manifest in doomed:
            key = run.layout.manifest(manifest.commit, manifest.stage)
            run.delete(key)
            if manifest.stage != "raw":  # its plain copies belong to all versions
                for entry in run.store.entries(key.removesuffix(MANIFEST)):
                    plain += entry.key != key
                    pool.start(run.delete, entry.key)
    return plain


def _live_trees(run: _Prune, living: list[VersionManifest]) -> dict[str, Tree]:
    """Every tree that a version names. One that lies on a tree that no version names any more is written out in full,
    so that the other can go. Raises CatsdogsError where one is gone: then nothing may be freed, for nobody knows what
    that version needs."""
    tops = sorted({manifest.tree for manifest in living})
    trees = read_chains(run.store, run.layout, tops, run.settings.transfers)
    found = {}
    for name in tops:
        try:
            rows = compose(name, trees)
        except KeyError as error:
            raise CatsdogsError(f"The tree {error} is gone, though a version names it: `catsdogs verify` says more; "
                                "nothing was freed.") from None
        tree = trees[name]
        if tree.under and tree.under[-1] not in tops:
            tree = Tree(list(rows.values()))
            run.write_tree(name, tree)
        found[name] = tree
    return found


def _bury(run: _Prune, shelf: Shelf, trees: dict[str, Tree]) -> None:
    """What was condemned long enough ago is deleted, or spared where a version has come to name it."""
    layout = run.layout
    needed = {layout.tree(name) for name in trees}
    needed |= {layout.pack(row.pack) for tree in trees.values() for row in tree.rows if row.pack != PLAIN}
    sizes = {entry.key: entry.size for entry in [*shelf.packs.values(), *shelf.trees.values()]}
    for key, tombstone in sorted(shelf.condemned.items(), key=lambda pair: not pair[0].startswith(layout.trees)):
        if key in needed:
            run.counts["spared"] += 1
            run.delete(tombstone.key)
        elif time.time() - tombstone.modified >= run.settings.grace_hours * 3600:
            run.counts["deleted"] += sizes.get(key, 0)
            run.delete(key)
            run.delete(tombstone.key)


def _sweep(run: _Prune, shelf: Shelf, trees: dict[str, Tree], started: float) -> None:
    """Condemn what nothing names and is no longer young; pack anew what is mostly air."""
    oldest = time.time() - run.settings.grace_hours * 3600
    for name, entry in shelf.trees.items():
        if name not in trees and entry.key not in shelf.condemned and entry.modified <= oldest:
            run.condemn(entry.key, entry.size)
    used: Counter[str] = Counter()
    contents = {(row.pack, row.digest): row.length for tree in trees.values() for row in tree.rows}
    for (pack, _), length in contents.items():
        used[pack] += member_size(length)
    sparse = []
    for digest, entry in shelf.packs.items():
        if entry.key in shelf.condemned or entry.modified > oldest:
            continue
        if not used[digest]:
            run.condemn(entry.key, entry.size)
        elif used[digest] + len(END) < run.settings.sparse * entry.size:
            sparse.append(digest)
    run.counts["repacked"] = sum(used[digest] for digest in sparse)
    if run.settings.apply and sparse:
        repack(run.store, run.layout, shelf, trees, set(sparse), run.settings.transfers, started)
    for digest in sparse:
        run.condemn(shelf.packs[digest].key, shelf.packs[digest].size)
