"""`catsdogs pull`: the folders of a version, byte for byte, going on where an earlier pull stopped."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catsdogs.errors import CatsdogsError
from catsdogs.files import atomic_write, sha256_file, write_bytes
from catsdogs.log import Progress, progress
from catsdogs.settings.versions import PullSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Missing, Store
from catsdogs.versions.commit import resolved
from catsdogs.versions.layout import STAGES, Layout
from catsdogs.versions.manifest import VersionManifest, read_manifest
from catsdogs.versions.ranges import RANGE, Span, key_of, read_large, read_span, spans
from catsdogs.versions.shelf import rows_of
from catsdogs.versions.target import check_paths, local_paths, missing_rows, refuse_links, strangers
from catsdogs.versions.transfers import Transfers
from catsdogs.versions.tree import PLAIN, Row

Write = Callable[[Path, bytes], None]
TRIES = 3  # prune may move contents between reading the tree and reading them


@dataclass(frozen=True, kw_only=True)
class StagePulled:
    folder: Path
    files: int
    size: int
    fetched: int  # files that were not there already
    fetched_size: int


@dataclass(frozen=True, kw_only=True)
class PullResult:
    bucket: str
    commit: str
    stages: dict[str, StagePulled]
    requests: int
    seconds: float

    def text(self) -> str:
        lines = [f"version      {self.commit}  <- {self.bucket}"]
        for stage, done in self.stages.items():
            lines.append(f"{stage:<13}{done.files:,} files, {done.size / 1e6:,.1f} MB -> {done.folder}: "
                         f"{done.fetched:,} fetched, {done.files - done.fetched:,} there already")
        return "\n".join([*lines, f"took         {self.seconds:.1f} s, {self.requests:,} requests"])

    def data(self) -> dict[str, Any]:
        return asdict(self)


def pull(settings: PullSettings) -> PullResult:
    """Fetch stages of one version. Raises CatsdogsError where it does not exist, is damaged, or a file is in the way:
    nothing of the user's is replaced or deleted without --overwrite, which replaces but never deletes."""
    started = time.monotonic()
    commit = resolved(settings.commit)
    store, layout = open_store(settings), Layout(settings.dataset)
    done = {}
    for stage in settings.stage or STAGES:
        manifest = read_manifest(store, layout, commit, stage)
        if manifest:
            done[stage] = _pull_stage(settings, store, layout, manifest)
        elif settings.stage:
            raise CatsdogsError(f"{store.url} has no {stage} of {commit}: `catsdogs versions` lists what there is.")
    if not done:
        raise CatsdogsError(f"{store.url} has no version {commit}: `catsdogs versions` lists what there is.")
    return PullResult(bucket=store.url, commit=commit, stages=done, requests=store.requests,
                      seconds=time.monotonic() - started)


def _pull_stage(settings: PullSettings, store: Store, layout: Layout, manifest: VersionManifest) -> StagePulled:
    stage, target = manifest.stage, settings.data_dir / manifest.stage
    if stage == "models":
        target = settings.models_dir
    # A folder that is not there yet is filled beside its place, and takes it when it is whole.
    beside = stage != "models" and not (target.is_dir() and next(target.iterdir(), None))
    folder = target.with_name(f".{stage}-{manifest.tree_digest[:16]}.pulling") if beside else target
    fetched = fetched_size = 0
    with progress(f"pull {stage}", manifest.files, unit="files") as bar:
        for attempt in range(TRIES):
            rows = rows_of(store, layout, manifest, settings.transfers)
            check_paths(rows)
            where = local_paths(settings, stage, rows, folder)
            refuse_links(folder, where.values())
            if attempt == 0 and stage != "models":
                _refuse_strangers(settings, folder, where)
            wanted = missing_rows(rows, where, settings.overwrite or beside)
            if attempt == 0:
                bar.advance(len(rows) - len(wanted))
            try:
                write = _write_beside if beside else write_bytes
                _fetch(store, layout, layout.plain(manifest.commit, stage), wanted, where, settings.transfers, write,
                       bar)
                fetched += len(wanted)
                fetched_size += sum(row.length for row in wanted)
                break
            except Missing as error:
                if attempt == TRIES - 1:
                    raise CatsdogsError(f"{manifest.commit} {stage} is damaged: {error}") from None
    if beside:
        folder.mkdir(parents=True, exist_ok=True)  # a version without files
        folder.rename(target)  # takes the place of an empty folder, fails on one that was filled meanwhile
    return StagePulled(folder=target, files=manifest.files, size=manifest.size, fetched=fetched,
                       fetched_size=fetched_size)


def _refuse_strangers(settings: PullSettings, folder: Path, where: dict[str, Path]) -> None:
    found = strangers(folder, set(where.values()))
    if found and not settings.overwrite:
        raise CatsdogsError(f"{folder} holds {len(found):,} files that are not part of this version "
                            f"({found[0].name!r}): move them away, pull into another --data-dir, or leave them be "
                            "with --overwrite.")


def _fetch(store: Store, layout: Layout, plain: str, wanted: list[Row], where: dict[str, Path], transfers: int,
           write: Write, bar: Progress) -> None:
    """Files at the top of the folder come last: a stage's manifest then says that the rest is there."""
    same: dict[str, list[Row]] = defaultdict(list)  # one content, under several names
    for row in wanted:
        same[row.digest].append(row)
    firsts = [rows[0] for rows in same.values()]
    top = [row for row in firsts if any("/" not in each.path for each in same[row.digest])]
    top_digests = {row.digest for row in top}
    for group in ([row for row in firsts if row.digest not in top_digests], top):
        with Transfers(transfers, waiting=transfers) as pool:
            for span in [*spans(row for row in group if row.pack != PLAIN),
                         *(Span([row]) for row in group if row.pack == PLAIN)]:
                pool.start(_fetch_span, store, key_of(layout, span.rows[0], plain), span, same, where, write,
                           bar)


def _fetch_span(store: Store, key: str, span: Span, same: dict[str, list[Row]], where: dict[str, Path],
                write: Write, bar: Progress) -> None:
    if span.length > RANGE:
        (row,) = span.rows
        _fetch_large(store, key, row, [where[each.path] for each in same[row.digest]])
        bar.advance(len(same[row.digest]))
        return
    for row, data in read_span(store, key, span) if span.length else [(row, b"") for row in span.rows]:
        for each in same[row.digest]:
            write(where[each.path], data)
    bar.advance(sum(len(same[row.digest]) for row in span.rows))


def _write_beside(path: Path, data: bytes) -> None:
    """Without a rename for each file: the folder is not in its place yet, and what is cut short in it has another
    digest. 16,000 files take half the time so."""
    try:
        file = open(path, "wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "wb")
    with file:
        file.write(data)


def _fetch_large(store: Store, key: str, row: Row, paths: list[Path]) -> None:
    for path in paths:
        with atomic_write(path) as file:
            def write(start: int, data: bytes) -> None:
                file.seek(start)
                file.write(data)
                file.truncate()
            read_large(store, key, row, write)
        if sha256_file(path) != row.digest:
            path.unlink()
            raise CatsdogsError(f"{path} could not be written: the disk gave back other bytes than it was given.")
