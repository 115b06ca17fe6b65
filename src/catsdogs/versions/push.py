"""`catsdogs push`: what the bucket lacks, then the tree, then plain copies, and the manifest last of all."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from catsdogs.errors import CatsdogsError
from catsdogs.log import Progress, progress
from catsdogs.storage import open_store
from catsdogs.stores.store import Content, Entry, Exists, Store
from catsdogs.versions.aside import Same, looking
from catsdogs.versions.commit import to_push
from catsdogs.versions.disk import Found, LocalFile, Memory, present, scan
from catsdogs.versions.layout import STAGES, Layout
from catsdogs.versions.manifest import VersionManifest, read_manifest
from catsdogs.versions.plain import push_plain
from catsdogs.versions.pusher import Place, digests, pack_new, packing, rows_for
from catsdogs.versions.shelf import Shelf, create_tree, list_shelf, read_chains, read_trees
from catsdogs.versions.tree import PLAIN, Row, Tree, compose, difference, tree_digest

if TYPE_CHECKING:
    from catsdogs.settings.versions import PushSettings

TRUST_SECONDS = 3600.0  # a listing older than this is made again before a version is written; prune waits longer


@dataclass(frozen=True, kw_only=True)
class StagePushed:
    files: int
    size: int  # bytes of all files
    packs: int  # uploaded now
    uploaded: int  # bytes of them
    plain: int  # files stored under their own names now
    before: bool  # the version was there already


@dataclass(frozen=True, kw_only=True)
class PushResult:
    bucket: str
    commit: str
    stages: dict[str, StagePushed]
    requests: int
    seconds: float

    def text(self) -> str:
        lines = [f"version      {self.commit}  -> {self.bucket}"]
        for stage, done in self.stages.items():
            new = "is there already" if done.before else f"{done.uploaded / 1e6:,.1f} MB new in {done.packs:,} shards"
            plain = f", {done.plain:,} plain files" if done.plain else ""
            lines.append(f"{stage:<13}{done.files:,} files, {done.size / 1e6:,.1f} MB: {new}{plain}")
        return "\n".join([*lines, f"took         {self.seconds:.1f} s, {self.requests:,} requests"])

    def data(self) -> dict[str, Any]:
        return asdict(self)


def push(settings: "PushSettings") -> PushResult:
    """Store the stages of one commit. Raises UsageError for a dirty tree or a folder that cannot be pushed, and
    CatsdogsError where this version exists with other content: a version is never overwritten."""
    started = time.monotonic()
    stages = [stage for stage in STAGES if stage in (settings.stage or STAGES)
              and (stage in settings.stage or present(settings, stage))]
    if not stages:
        raise CatsdogsError(f"Neither {settings.data_dir} nor {settings.models_dir} holds anything to push: name "
                            "--data-dir, or run `catsdogs ingest` first.")
    quick = [] if settings.unpacked or settings.rehash else [stage for stage in stages if stage != "models"]
    with looking(settings, quick) as aside:
        commit = to_push(settings.commit, settings.allow_dirty)
        store = open_store(settings)
        run = _Push(settings, store, Layout(settings.dataset), commit, aside)
        done = {stage: run.stage(stage) for stage in stages}
    return PushResult(bucket=store.url, commit=commit, stages=done, requests=store.requests,
                      seconds=time.monotonic() - started)


@dataclass(frozen=True)
class _Stored:
    files: list[tuple[str, str, int]]  # path, digest, length; not filled in where nobody asks for it
    digest: str  # of the tree
    name: str  # of the tree object
    packs: int = 0  # uploaded now
    uploaded: int = 0  # bytes of them


@dataclass
class _Push:
    settings: "PushSettings"
    store: Store
    layout: Layout
    commit: str
    aside: Callable[[str], Same | None]
    shelf: Shelf | None = None

    def stage(self, stage: str) -> StagePushed:
        with ThreadPoolExecutor(2) as pool:  # the bucket answers while the disk is looked through
            asked = pool.submit(read_manifest, self.store, self.layout, self.commit, stage)
            listed = pool.submit(list_shelf, self.store, self.layout) if self.shelf is None else None
            memory = Memory(self.settings, stage, forget=self.settings.rehash)
            copied, seen = 0, None
            if (same := self.aside(stage)) is None:
                seen = scan(self.settings, stage)
                same = Same.of(memory, seen)
            before = asked.result()
            self.shelf = listed.result() if listed else self.shelf
        plain = self.settings.unpacked or stage == "models"
        unchanged = self._stored_tree(stage, same.tree, before) if same and not plain else None
        if same and unchanged:
            done, count, size = _Stored([], same.tree, unchanged), same.files, same.size
        else:
            seen = seen or scan(self.settings, stage)
            done = self._look_and_store(stage, seen, memory, before)
            count, size = len(done.files), sum(length for _, _, length in done.files)
            if plain:
                copied = push_plain(self.store, self.layout.plain(self.commit, stage), seen.files, done.files,
                                    self.settings.transfers, claimed=before is not None or stage == "raw",
                                    label=f"push {stage}, plain files")
        if before is None:
            self._write(VersionManifest(
                commit=self.commit, stage=stage, created=time.time(), files=count, size=size, tree=done.name,
                tree_digest=done.digest, unpacked=plain,
            ).sealed())
        return StagePushed(files=count, size=size, packs=done.packs, uploaded=done.uploaded, plain=copied,
                           before=before is not None)

    def _look_and_store(self, stage: str, seen: Found, memory: Memory,
                        before: VersionManifest | None) -> "_Stored":
        """Each file's digest, and packs and a tree for what the bucket lacks."""
        assert self.shelf is not None
        files = seen.files
        known: dict[str, str] = {}
        first = not self.shelf.packs and stage != "models"
        if not first or before:  # else reading once is enough: nothing can be there
            known = digests(files, memory)
        with progress(f"push {stage}", len(files), unit="files") as bar:
            found = [(file.path, known[file.path], file.size) for file in files] if known else []
            digest = tree_digest(found)
            if known and (name := self._stored_tree(stage, digest, before)):
                bar.advance(len(files))
                done = _Stored(found, digest, name)
            else:
                done = self._store(stage, files, known, memory, bar)
        memory.save(seen, done.digest)
        return done

    def _stored_tree(self, stage: str, digest: str, before: VersionManifest | None) -> str | None:
        """The name of a tree that says exactly this, if there is one to build on."""
        if before:
            if before.tree_digest != digest:
                raise self._taken(stage)
            return before.tree
        assert self.shelf is not None
        names = self.shelf.sound_trees(self.layout, stage)
        return next((name for name in names if name.split("-")[1] == digest), None)

    def _store(self, stage: str, files: list[LocalFile], known: dict[str, str], memory: Memory,
               bar: Progress) -> "_Stored":
        """Packs and tree."""
        assert self.shelf is not None
        shelf, trees = self.shelf, self._trees()
        stored: dict[str, Place] = {
            row.digest: (row.pack, row.offset) for tree in trees.values() for row in tree.rows
            if row.pack != PLAIN and shelf.sound_pack(self.layout, row.pack)}
        if stage == "models":
            found, rows, packs, uploaded = *self._plain_rows(files, known), 0, 0
            bar.advance(len(files))
        else:
            size = round(self.settings.pack_megabytes * 1e6)
            with packing(self.store, self.layout, shelf, size, self.settings.transfers, bar) as packer:
                found = pack_new(files, known, stored, packer, memory, bar)
            rows = rows_for(found, stored, packer)
            packs, uploaded = packer.uploaded.packs, packer.uploaded.size
        if self._stale():  # a tree says to others that its packs are there
            self._check({row.pack for row in rows} - {PLAIN}, [])
            shelf = self.shelf
        digest = tree_digest(found)
        name = f"{stage}-{digest}"
        if self.layout.tree(name) in shelf.condemned:
            name += f"-{time.time_ns():x}"  # prune is about to delete the other
        tree = self._on_top(stage, rows, trees)
        create_tree(self.store, self.layout, name, tree)
        shelf.known[name] = tree
        shelf.trees[name] = Entry(self.layout.tree(name), 0, time.time())
        return _Stored(found, digest, name, packs, uploaded)

    def _plain_rows(
        self, files: list[LocalFile], known: dict[str, str]
    ) -> tuple[list[tuple[str, str, int]], list[Row]]:
        found = [(file.path, known[file.path], file.size) for file in files]
        return found, [Row(path, digest, PLAIN, 0, length) for path, digest, length in found]

    def _trees(self) -> dict[str, Tree]:
        assert self.shelf is not None
        names = [name for name in self.shelf.trees if self.layout.tree(name) not in self.shelf.condemned
                 and name not in self.shelf.known]
        self.shelf.known |= read_trees(self.store, self.layout, names, self.settings.transfers)
        return self.shelf.known

    def _on_top(self, stage: str, rows: list[Row], trees: dict[str, Tree]) -> Tree:
        assert self.shelf is not None
        for name in self.shelf.sound_trees(self.layout, stage)[:1]:
            try:
                return difference(name, trees[name], compose(name, trees), rows)
            except KeyError:
                break  # one that it lies on is condemned or gone
        return Tree(rows)

    def _write(self, manifest: VersionManifest) -> None:
        """The one write that makes a version. What it names was just seen, or is looked for once more."""
        assert self.shelf is not None
        if self._stale():
            trees = read_chains(self.store, self.layout, [manifest.tree], self.settings.transfers)
            try:
                packs = {row.pack for row in compose(manifest.tree, trees).values()} - {PLAIN}
            except KeyError:
                raise _pruned() from None
            self._check(packs, trees)
        key = self.layout.manifest(self.commit, manifest.stage)
        try:
            self.store.write(key, Content.of(manifest.encode()), absent=True)
        except Exists:  # somebody else's, or ours, whose answer was lost
            there = read_manifest(self.store, self.layout, self.commit, manifest.stage)
            if there is None or there.tree_digest != manifest.tree_digest:
                raise self._taken(manifest.stage) from None

    def _stale(self) -> bool:
        assert self.shelf is not None
        return time.monotonic() - self.shelf.listed > TRUST_SECONDS

    def _check(self, packs: Iterable[str], trees: Iterable[str]) -> None:
        """List anew; raises CatsdogsError where prune has condemned or deleted one of these meanwhile."""
        known = self.shelf.known if self.shelf else {}
        self.shelf = list_shelf(self.store, self.layout)
        self.shelf.known = known
        if not all(self.shelf.sound_pack(self.layout, pack) for pack in packs) \
                or any(self.layout.tree(name) in self.shelf.condemned for name in trees):
            raise _pruned()

    def _taken(self, stage: str) -> CatsdogsError:
        return CatsdogsError(f"{self.commit} {stage} is in {self.store.url} already, with other content, and a version "
                             "is never overwritten: commit the change, or name another --commit.")


def _pruned() -> CatsdogsError:
    return CatsdogsError("`catsdogs prune` ran during this push and is about to free what it built on: run the same "
                         "command again, what it still needs is stored anew.")
