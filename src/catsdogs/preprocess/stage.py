"""Stage 2: ingested photos -> resized train, val and test, and the packed arrays that training reads."""

import json
import os
import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from catsdogs.artifacts import SPLIT_NAMES, SPLITS, ManifestRow, Preprocessed, SplitRow, Verdict
from catsdogs.artifacts import read_manifest, write_splits
from catsdogs.engine import Engine, open_engine
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import claim_output, digest_of, remove_partials, write_bytes, write_json
from catsdogs.images import PREPARATION, Pixels, encode
from catsdogs.packed import pack
from catsdogs.preprocess.splits import assign, check_ratios
from catsdogs.preprocess.versioned import forget_finished, ingested_rows, resize_shards
from catsdogs.settings.data import PreprocessSettings
from catsdogs.settings.versions import bucket_of
from catsdogs.versions.commit import resolved
from catsdogs.versions.stored import Bucket

MARK = ".catsdogs-preprocess"


@dataclass(frozen=True, kw_only=True)
class PreprocessResult:
    output_dir: Path | str  # or bucket and version
    image_size: int
    counts: dict[str, dict[str, int]]  # split -> class -> photos
    seconds: float

    @property
    def photos(self) -> int:
        return sum(sum(classes.values()) for classes in self.counts.values())

    def text(self) -> str:
        lines = [
            f"{split:<13}" + "  ".join(f"{label}: {count:,}" for label, count in classes.items())
            for split, classes in self.counts.items()
        ]
        lines.append(f"size         {self.image_size} x {self.image_size}  -> {self.output_dir}")
        return "\n".join([*lines, f"speed        {self.photos / self.seconds:,.0f} photos/s, {self.seconds:.1f} s"])

    def data(self) -> dict[str, Any]:
        return asdict(self) | {"photos_per_second": self.photos / self.seconds}


def preprocess(settings: PreprocessSettings) -> PreprocessResult:
    """Write `<split>/<class>/<digest>.jpg`, the packed arrays, and last `splits.csv` and `preprocess.json`.

    With --bucket, input and output are stages of a version there, and the packed arrays are left out.
    """
    check_ratios(settings.train_ratio, settings.val_ratio)
    with open_engine(settings) as engine:
        return _on_versions(settings, engine) if settings.bucket else _on_folders(settings, engine)


def _on_folders(settings: PreprocessSettings, engine: Engine) -> PreprocessResult:
    started = time.monotonic()
    output = settings.output_dir
    rows = _kept(settings.input_dir)
    photos = _split(settings, rows, settings.input_dir, output)
    claim_output(output, MARK)
    _begin(output, settings.image_size)
    pack(output, photos, settings.image_size, engine=engine, also=partial(_write_resized, output))
    about = _about(settings, rows, photos)
    write_splits(output, photos)
    about.write(output / Preprocessed.FILE_NAME)
    _remove_stale(output, photos)
    return PreprocessResult(output_dir=output, image_size=settings.image_size, counts=about.counts,
                            seconds=time.monotonic() - started)


def _on_versions(settings: PreprocessSettings, engine: Engine) -> PreprocessResult:
    started = time.monotonic()
    bucket, commit = Bucket(bucket_of(settings.bucket, settings.dataset)), resolved(settings.commit)
    ingested = bucket.rows(commit, "ingested")
    rows = _two_classes(ingested_rows(bucket, ingested), f"{bucket.store.url} {commit}")
    # As the folders lie after a pull: side by side.
    photos = _split(settings, rows, Path("ingested"), Path("processed"))
    resized = resize_shards(settings, engine, bucket, ingested, photos, {row.digest: row.path for row in rows})
    about = _about(settings, rows, photos)
    with TemporaryDirectory(prefix="catsdogs-") as temporary:
        folder = Path(temporary)
        write_json(folder / MARK, _wanted(settings.image_size))
        write_splits(folder, photos)
        about.write(folder / Preprocessed.FILE_NAME)
        bucket.publish(commit, "processed", resized, folder)
    forget_finished(settings, bucket)
    return PreprocessResult(output_dir=f"{bucket.store.url} {commit}", image_size=settings.image_size,
                            counts=about.counts, seconds=time.monotonic() - started)


def _split(settings: PreprocessSettings, rows: list[ManifestRow], input_dir: Path, output: Path) -> list[SplitRow]:
    splits = assign(rows, settings.seed, settings.train_ratio, settings.val_ratio)
    return sorted(
        (_split_row(row, splits[row.digest], input_dir, output) for row in rows),
        key=lambda photo: (SPLIT_NAMES.index(photo.split), photo.label, photo.digest),
    )


def _about(settings: PreprocessSettings, rows: list[ManifestRow], photos: list[SplitRow]) -> Preprocessed:
    return Preprocessed(
        classes=sorted({row.label for row in rows}),
        image_size=settings.image_size,
        preparation=PREPARATION,
        seed=settings.seed,
        train_ratio=settings.train_ratio,
        val_ratio=settings.val_ratio,
        manifest_digest=digest_of(sorted([row.digest, row.label, row.group] for row in rows)),
        splits_digest=digest_of([[photo.digest, photo.split, photo.label] for photo in photos]),
        counts=_counts(photos),
    )


def _kept(folder: Path) -> list[ManifestRow]:
    if not folder.is_dir():
        raise UsageError(f"{folder} does not exist: run `catsdogs ingest` first, or name --input-dir.")
    return _two_classes(read_manifest(folder), folder)


def _two_classes(rows: list[ManifestRow], where: object) -> list[ManifestRow]:
    kept = [row for row in rows if row.verdict == Verdict.KEPT]
    if len({row.label for row in kept}) < 2:
        raise CatsdogsError(f"{where} holds photos of fewer than two classes: run `catsdogs ingest` with all of them.")
    return kept


def _begin(output: Path, image_size: int) -> None:
    """Clear resized photos of another size: what lies in the split folders is always of the size in the mark."""
    remove_partials(output)
    wanted = _wanted(image_size)
    mark = output / MARK
    if mark.read_text() and json.loads(mark.read_text()) == wanted:
        return
    for name in (SPLITS, Preprocessed.FILE_NAME):
        (output / name).unlink(missing_ok=True)
    for split in SPLIT_NAMES:
        shutil.rmtree(output / split, ignore_errors=True)
    write_json(mark, wanted)


def _wanted(image_size: int) -> dict[str, Any]:
    return {"image_size": image_size, "preparation": PREPARATION}


def _split_row(row: ManifestRow, split: str, input_dir: Path, output: Path) -> SplitRow:
    return SplitRow(
        digest=row.digest,
        split=split,  # type: ignore[arg-type]
        label=row.label,
        group=row.group,
        path=f"{split}/{row.label}/{row.digest}.jpg",
        original=Path(os.path.relpath(input_dir / row.path, output)).as_posix(),
    )


def _write_resized(output: Path, row: SplitRow, pixels: Pixels) -> None:
    path = output / row.path
    if not path.exists():
        write_bytes(path, encode(pixels, "JPEG"))


def _counts(photos: list[SplitRow]) -> dict[str, dict[str, int]]:
    return {
        split: dict(sorted(Counter(photo.label for photo in photos if photo.split == split).items()))
        for split in SPLIT_NAMES
    }


def _remove_stale(output: Path, photos: list[SplitRow]) -> None:
    """Resized photos of an earlier run that no longer belong here."""
    wanted = {photo.path for photo in photos}
    for split in SPLIT_NAMES:
        for path in (output / split).rglob("*.jpg"):
            if path.relative_to(output).as_posix() not in wanted:
                path.unlink()
