"""Stage 2: ingested photos -> resized train, val and test, and the packed arrays that training reads."""

import json
import os
import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from catsdogs.artifacts import SPLIT_NAMES, SPLITS, ManifestRow, Preprocessed, SplitRow, Verdict
from catsdogs.artifacts import read_manifest, write_splits
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import claim_output, digest_of, remove_partials, write_bytes, write_json
from catsdogs.images import PREPARATION, Pixels, encode
from catsdogs.packed import pack
from catsdogs.preprocess.splits import assign, check_ratios
from catsdogs.settings.data import PreprocessSettings

MARK = ".catsdogs-preprocess"


@dataclass(frozen=True, kw_only=True)
class PreprocessResult:
    output_dir: Path
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
    """Write `<split>/<class>/<digest>.jpg`, the packed arrays, and last `splits.csv` and `preprocess.json`."""
    started = time.monotonic()
    check_ratios(settings.train_ratio, settings.val_ratio)
    output = settings.output_dir
    rows = _kept(settings.input_dir)
    splits = assign(rows, settings.seed, settings.train_ratio, settings.val_ratio)
    claim_output(output, MARK)
    _begin(output, settings.image_size)

    photos = sorted(
        (_split_row(row, splits[row.digest], settings.input_dir, output) for row in rows),
        key=lambda photo: (SPLIT_NAMES.index(photo.split), photo.label, photo.digest),
    )
    pack(output, photos, settings.image_size, workers=settings.workers, also=partial(_write_resized, output))
    counts = _counts(photos)
    about = Preprocessed(
        classes=sorted({row.label for row in rows}),
        image_size=settings.image_size,
        preparation=PREPARATION,
        seed=settings.seed,
        train_ratio=settings.train_ratio,
        val_ratio=settings.val_ratio,
        manifest_digest=digest_of(sorted([row.digest, row.label, row.group] for row in rows)),
        splits_digest=digest_of([[photo.digest, photo.split, photo.label] for photo in photos]),
        counts=counts,
    )
    write_splits(output, photos)
    about.write(output / Preprocessed.FILE_NAME)
    _remove_stale(output, photos)
    return PreprocessResult(
        output_dir=output, image_size=settings.image_size, counts=counts, seconds=time.monotonic() - started
    )


def _kept(folder: Path) -> list[ManifestRow]:
    if not folder.is_dir():
        raise UsageError(f"{folder} does not exist: run `catsdogs ingest` first, or name --input-dir.")
    rows = [row for row in read_manifest(folder) if row.verdict == Verdict.KEPT]
    if len({row.label for row in rows}) < 2:
        raise CatsdogsError(f"{folder} holds photos of fewer than two classes: run `catsdogs ingest` with all of them.")
    return rows


def _begin(output: Path, image_size: int) -> None:
    """Clear resized photos of another size: what lies in the split folders is always of the size in the mark."""
    remove_partials(output)
    wanted = {"image_size": image_size, "preparation": PREPARATION}
    mark = output / MARK
    if mark.read_text() and json.loads(mark.read_text()) == wanted:
        return
    for name in (SPLITS, Preprocessed.FILE_NAME):
        (output / name).unlink(missing_ok=True)
    for split in SPLIT_NAMES:
        shutil.rmtree(output / split, ignore_errors=True)
    write_json(mark, wanted)


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
