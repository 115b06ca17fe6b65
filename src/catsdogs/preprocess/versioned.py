"""Preprocess on a version in a bucket: ingested tar shards in, shards of resized photos out, on any number of machines.

The packed arrays of training are a cache and not part of a version: `catsdogs train` makes them after a pull.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from catsdogs.artifacts import MANIFEST, ManifestRow, SplitRow, read_manifest
from catsdogs.engine import Engine
from catsdogs.errors import BadImage, CatsdogsError
from catsdogs.files import digest_of
from catsdogs.images import encode, prepare
from catsdogs.log import progress
from catsdogs.pool import chunked
from catsdogs.settings.data import PreprocessSettings
from catsdogs.versions.cache import run_folder
from catsdogs.versions.stored import Bucket
from catsdogs.versions.tree import Row

FINISHED = "shards.jsonl"


@dataclass(frozen=True)
class _Photo:
    source: Row  # of the ingested photo
    path: str  # of the resized one


@dataclass(frozen=True)
class _Work:
    bucket: Bucket
    image_size: int
    condemned: frozenset[str]


def ingested_rows(bucket: Bucket, ingested: dict[str, Row]) -> list[ManifestRow]:
    with tempfile.TemporaryDirectory(prefix="catsdogs-") as temporary:
        (Path(temporary) / MANIFEST).write_bytes(bucket.content(ingested[MANIFEST]))
        return read_manifest(Path(temporary))


def resize_shards(
    settings: PreprocessSettings, engine: Engine, bucket: Bucket, ingested: dict[str, Row], photos: list[SplitRow],
    originals: dict[str, str],
) -> list[Row]:
    """Where each resized photo lies. `originals`: digest -> path in `ingested`. Shards that an earlier, interrupted
    run finished are not made again while the bucket still has them."""
    todo = sorted((_Photo(ingested[originals[photo.digest]], photo.path) for photo in photos),
                  key=lambda photo: (photo.source.pack, photo.source.offset))
    shelf = bucket.shelf()
    work = _Work(bucket, settings.image_size, frozenset(shelf.condemned))
    folder = run_folder(settings.cache_dir, "preprocess", [bucket.settings.bucket, bucket.settings.dataset])
    done = {name: rows for name, rows in _finished(folder / FINISHED)
            if all(shelf.sound_pack(bucket.layout, row.pack) for row in rows)}
    tasks = {_name(settings.image_size, chunk): chunk for chunk in chunked(todo, settings.shard_photos)}
    rest = {name: chunk for name, chunk in tasks.items() if name not in done}
    with progress("preprocess", len(todo)) as bar, (folder / FINISHED).open("a", encoding="utf-8") as file:
        bar.advance(len(todo) - sum(map(len, rest.values())))
        for name, rows in zip(rest, engine.map(_resize, work, rest.values()), strict=True):
            done[name] = rows
            file.write(json.dumps([name, rows]) + "\n")
            file.flush()
            bar.advance(len(rows))
    return [row for name in tasks for row in done[name]]


def forget_finished(settings: PreprocessSettings, bucket: Bucket) -> None:
    """The version is there: nothing need be gone on with."""
    folder = run_folder(settings.cache_dir, "preprocess", [bucket.settings.bucket, bucket.settings.dataset])
    (folder / FINISHED).unlink(missing_ok=True)


def _resize(work: _Work, photos: Sequence[_Photo]) -> list[Row]:
    return work.bucket.add_pack(_resized(work, photos), work.condemned)


def _resized(work: _Work, photos: Sequence[_Photo]) -> Iterator[tuple[str, bytes]]:
    paths = {photo.source.path: photo.path for photo in photos}
    for row, data in work.bucket.contents(photo.source for photo in photos):
        try:
            pixels = prepare(data, work.image_size)
        except BadImage as error:
            raise CatsdogsError(f"The ingested photo {row.path} cannot be prepared ({error}): drop it in fixes.yaml, "
                                "and run `catsdogs ingest` again, under another --commit.") from None
        yield paths[row.path], encode(pixels, "JPEG")


def _name(image_size: int, photos: Sequence[_Photo]) -> str:
    return digest_of([image_size, [asdict(photo) for photo in photos]])


def _finished(path: Path) -> Iterator[tuple[str, list[Row]]]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            name, rows = json.loads(line)
            yield str(name), [Row(*row) for row in rows]
        except (ValueError, TypeError):
            return  # the line that was being written when the run was killed
