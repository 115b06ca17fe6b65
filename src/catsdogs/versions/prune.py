"""`catsdogs prune`: free what no version names.

No lock: what becomes free is condemned first, by a tombstone that every push obeys, and deleted by a later prune once
the grace has passed and still nothing names it. A push that had begun before the tombstone was written ends (or looks
again) long before that; what it named meanwhile gets its tombstone taken away. A tree that any push can still see
protects what it names: trees are condemned before the packs they name, and deleted no later.
"""

import time
from collections import Counter
from collections.abc import Iterable
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
        will = "" if self.applied else "would be "
        lines = [
            f"versions     {len(self.kept):,} kept, {len(self.forgotten):,} {will}forgotten"
            + (f": {', '.join(name[:12] for name in self.forgotten)}" if self.forgotten else ""),
            f"plain files  {self.plain:,} {will}deleted with them",
            f"condemned    {self.condemned / 1e6:,.1f} MB {will}marked, to be deleted by a prune after the grace",
            f"repacked     {self.repacked / 1e6:,.1f} MB {will}moved out of sparse shards",
            f"deleted      {self.deleted / 1e6:,.1f} MB {will}freed now; {self.spared:,} marks taken away",
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

    def old(self, moment: float) -> bool:
        return time.time() - moment >= self.settings.grace_hours * 3600

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
    # Listed after the manifests: what a push adds in between is young, and the young are left alone.
    shelf = list_shelf(store, layout)
    sorted_trees = _sort(run, shelf, living)
    _bury(run, shelf, sorted_trees)
    _sweep(run, shelf, sorted_trees.kept, started)
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


@dataclass(frozen=True)
class _Trees:
    kept: dict[str, Tree]  # a version names them, or they are young: perhaps of a push under way
    waiting: dict[str, Tree]  # condemned, but not for long enough: a push may have begun before


def _sort(run: _Prune, shelf: Shelf, living: list[VersionManifest]) -> _Trees:
    """Condemns the trees that no version names. A living one that lies on such a tree is written out in full, so that
    the other can go. Raises CatsdogsError where one is gone: then nothing may be freed, for nobody knows what that
    version needs."""
    tops = sorted({manifest.tree for manifest in living})
    trees = read_chains(run.store, run.layout, [*tops, *(shelf.trees.keys() - set(tops))], run.settings.transfers)
    kept = {}
    for name in tops:
        try:
            rows = compose(name, trees)
        except KeyError as error:
            raise CatsdogsError(f"The tree {error} is gone, though a version names it: `catsdogs verify` says more; "
                                "nothing was freed.") from None
        kept[name] = trees[name]
        if trees[name].under and trees[name].under[-1] not in tops:
            kept[name] = Tree(list(rows.values()))
            run.write_tree(name, kept[name])
    expired, young = set(), []
    for name, entry in shelf.trees.items():
        tombstone = shelf.condemned.get(entry.key)
        if name in kept:
            continue
        if tombstone:
            expired |= {name} if run.old(tombstone.modified) else set()
        elif run.old(entry.modified):
            run.condemn(entry.key, entry.size)
        else:
            young.append(name)
    kept = _chains(young, trees) | kept  # as rewritten, where both have it
    waiting = [name for name in shelf.trees if name not in kept and name not in expired]
    return _Trees(kept, _chains(waiting, trees))


def _chains(names: Iterable[str], trees: dict[str, Tree]) -> dict[str, Tree]:
    """These trees and all they lie on."""
    found: dict[str, Tree] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in trees and name not in found:
            found[name] = trees[name]
            waiting += trees[name].under[-1:]
    return found


def _needed(layout: Layout, trees: dict[str, Tree]) -> set[str]:
    """Keys of these trees and of the packs they name."""
    packs = {row.pack for tree in trees.values() for row in tree.rows} - {PLAIN}
    return {layout.tree(name) for name in trees} | {layout.pack(pack) for pack in packs}


def _bury(run: _Prune, shelf: Shelf, trees: _Trees) -> None:
    """What was condemned long enough ago is deleted, or spared where a version has come to name it."""
    kept, waiting = _needed(run.layout, trees.kept), _needed(run.layout, trees.waiting)
    sizes = {entry.key: entry.size for entry in [*shelf.packs.values(), *shelf.trees.values()]}
    for key, tombstone in sorted(shelf.condemned.items(), key=lambda pair: not pair[0].startswith(run.layout.trees)):
        if key in kept:
            run.counts["spared"] += 1
            run.delete(tombstone.key)
        elif key not in waiting and run.old(tombstone.modified):
            run.counts["deleted"] += sizes.get(key, 0)
            run.delete(key)
            run.delete(tombstone.key)


def _sweep(run: _Prune, shelf: Shelf, trees: dict[str, Tree], started: float) -> None:
    """Condemn packs that nothing names and that are no longer young; pack anew what is mostly air."""
    used: Counter[str] = Counter()
    contents = {(row.pack, row.digest): row.length for tree in trees.values() for row in tree.rows}
    for (pack, _), length in contents.items():
        used[pack] += member_size(length)
    sparse = []
    for digest, entry in shelf.packs.items():
        if entry.key in shelf.condemned or not run.old(entry.modified):
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
