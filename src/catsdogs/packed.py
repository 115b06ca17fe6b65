"""Photos as one uint8 array per split, mapped into memory: what training reads.

A cache beside the processed folder, made from the ingested photos that `splits.csv` names, keyed by their digests.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL

from catsdogs.artifacts import SPLIT_NAMES, Preprocessed, SplitRow, read_splits
from catsdogs.engine import Engine, Local
from catsdogs.errors import BadImage, CatsdogsError
from catsdogs.files import PARTIAL, allocate, digest_of, sha256
from catsdogs.images import PREPARATION, Pixels, prepare
from catsdogs.log import event, progress
from catsdogs.pool import chunked
from catsdogs.seal import check_seal, seal

CHUNK = 32
CACHE = ".packed"
DONE = "done.npy"
ARRAYS = {split: f"{split}.npy" for split in SPLIT_NAMES}

Also = Callable[[SplitRow, Pixels], None]


@dataclass(frozen=True)
class Packed:
    """One split, in the order of its rows in `splits.csv`."""

    pixels: npt.NDArray[np.uint8]  # [n, image_size, image_size, 3], RGB, mapped read-only
    labels: npt.NDArray[np.int64]  # [n], index into the sorted class names
    rows: list[SplitRow]


@dataclass(frozen=True)
class PackedPhotos:
    about: Preprocessed
    train: Packed
    val: Packed
    test: Packed


def open_packed(data_dir: Path) -> PackedPhotos:
    """Map the arrays of a processed folder; make them again where they are missing or damaged.

    Raises CatsdogsError where the folder was not written by preprocess, or the ingested photos are gone.
    """
    about = Preprocessed.read(data_dir / Preprocessed.FILE_NAME, "`catsdogs preprocess`")
    if about.preparation != PREPARATION:
        raise CatsdogsError(
            f"{data_dir} was prepared as {about.preparation!r}, this version prepares as {PREPARATION!r}: "
            "run `catsdogs preprocess` again."
        )
    rows = read_splits(data_dir)
    try:
        return _mapped(data_dir, about, rows)
    except (OSError, ValueError):
        pass
    with _alone(data_dir):
        try:
            return _mapped(data_dir, about, rows)  # another process has made them meanwhile
        except (OSError, ValueError):
            event("packing", because="the packed photos are missing or damaged", data_dir=data_dir)
            _pack(data_dir, rows, about.image_size, engine=Local())
            return _mapped(data_dir, about, rows)


def pack(data_dir: Path, rows: list[SplitRow], image_size: int, *, engine: Engine, also: Also | None = None) -> Path:
    """Prepare every photo of `rows` into arrays; returns their folder. Goes on where an interrupted run stopped, and
    waits where another one is at it.

    `also` is called in the worker with each prepared photo (and must then be safe to call again for a photo that
    was packed before). Raises CatsdogsError where an ingested photo is missing or has changed.
    """
    with _alone(data_dir):
        return _pack(data_dir, rows, image_size, engine=engine, also=also)


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """The only process of this machine that packs these photos: torchrun starts several at once."""
    cache = data_dir.parent / CACHE
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{data_dir.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _pack(data_dir: Path, rows: list[SplitRow], image_size: int, *, engine: Engine, also: Also | None = None) -> Path:
    final = _folder(data_dir, rows, image_size)
    partial = final.with_name(final.name + PARTIAL)
    if final.exists() and (also is None or not _sound(final)):
        shutil.rmtree(final)  # damaged, or nobody would ask
    if not final.exists():
        _forget_others(final)
        partial.mkdir(parents=True, exist_ok=True)
        _allocate(partial / DONE, (len(rows),))
        for split in SPLIT_NAMES:
            _allocate(_array(partial, split), (len(_of(rows, split)), image_size, image_size, 3))
    work = _Work(data_dir, final if final.exists() else partial, image_size, also)
    places = [(row, place, number) for number, (row, place) in enumerate(_places(rows))]
    with progress("preprocess", len(places)) as bar:
        for count in engine.map(_prepare_chunk, work, chunked(places, CHUNK)):
            bar.advance(count)
    if not final.exists():
        seal(partial, ARRAYS.values())
        partial.rename(final)
    return final


def _sound(folder: Path) -> bool:
    try:
        check_seal(folder, ARRAYS.values())
        return True
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class _Work:
    data_dir: Path
    folder: Path
    image_size: int
    also: Also | None


def _prepare_chunk(work: _Work, places: Iterable[tuple[SplitRow, int, int]]) -> int:
    places = list(places)
    done = np.load(work.folder / DONE, mmap_mode="r+")
    splits = {row.split for row, _, _ in places}
    arrays = {split: np.load(_array(work.folder, split), mmap_mode="r+") for split in splits}
    for row, place, number in places:
        if done[number]:
            if work.also is not None:
                work.also(row, arrays[row.split][place])
            continue
        pixels = _prepare(work.data_dir / row.original, row.digest, work.image_size)
        arrays[row.split][place] = pixels
        if work.also is not None:
            work.also(row, pixels)
        done[number] = 1  # last: a kill before this line only repeats the photo
    return len(places)


def _prepare(path: Path, digest: str, image_size: int) -> Pixels:
    repair = "run `catsdogs ingest` and `catsdogs preprocess` again"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CatsdogsError(f"The ingested photo {path} is missing: {repair}.") from None
    if sha256(data) != digest:
        raise CatsdogsError(f"The ingested photo {path} has changed since it was ingested: {repair}.")
    try:
        return prepare(data, image_size)
    except BadImage as error:
        # Not by a version whose limits have grown stricter: ingest does not look at it again.
        raise CatsdogsError(f"The ingested photo {path} cannot be prepared ({error}): drop it in fixes.yaml, and "
                            f"{repair}.") from None


def _mapped(data_dir: Path, about: Preprocessed, rows: list[SplitRow]) -> PackedPhotos:
    folder = _folder(data_dir, rows, about.image_size)
    check_seal(folder, ARRAYS.values())
    index = {label: number for number, label in enumerate(about.classes)}
    splits = {}
    for split in SPLIT_NAMES:
        mine = _of(rows, split)
        pixels: Pixels = np.load(_array(folder, split), mmap_mode="r")
        if pixels.shape != (len(mine), about.image_size, about.image_size, 3) or pixels.dtype != np.uint8:
            raise ValueError("another shape")
        splits[split] = Packed(pixels, np.array([index[row.label] for row in mine], dtype=np.int64), mine)
    return PackedPhotos(about, **splits)


def _folder(data_dir: Path, rows: list[SplitRow], image_size: int) -> Path:
    content = [[row.split, row.digest] for row in rows]
    key = digest_of([PREPARATION, PIL.__version__, image_size, content])
    return data_dir.parent / CACHE / f"{data_dir.name}-{key[:16]}"


def _forget_others(final: Path) -> None:
    """One cache a processed folder: remove those of its earlier contents."""
    prefix = final.name.rpartition("-")[0]
    for other in final.parent.glob(f"{prefix}-{'[0-9a-f]' * 16}*"):
        if not other.name.startswith(final.name):
            shutil.rmtree(other)


def _allocate(path: Path, shape: tuple[int, ...]) -> None:
    """A zeroed array on disk, unless an interrupted run left it; a full disk is met here, not as a crash later."""
    if path.exists():
        return
    beside = path.with_name(path.name + PARTIAL)
    array = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
    del array
    with beside.open("r+b") as file:
        allocate(file, beside.stat().st_size)
    beside.rename(path)


def _array(folder: Path, split: str) -> Path:
    return folder / ARRAYS[split]


def _of(rows: list[SplitRow], split: str) -> list[SplitRow]:
    return [row for row in rows if row.split == split]


def _places(rows: list[SplitRow]) -> Iterable[tuple[SplitRow, int]]:
    """Each row with its position inside its split's array."""
    seen = dict.fromkeys(SPLIT_NAMES, 0)
    for row in rows:
        yield row, seen[row.split]
        seen[row.split] += 1
