"""Stage 7b: labelled photos of the test split, as they were taken, beside a CSV that names them."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catsdogs.artifacts import EvalRow, SplitRow, read_splits, write_eval_batch
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import claim_output, sha256, write_bytes
from catsdogs.settings.serving import EvalBatchSettings

MARK = ".catsdogs-eval-batch"


@dataclass(frozen=True, kw_only=True)
class EvalBatchResult:
    output_csv: Path
    classes: dict[str, int]
    short_of: dict[str, int]  # classes with fewer photos than asked for

    def text(self) -> str:
        chosen = "  ".join(f"{label}: {count:,}" for label, count in self.classes.items())
        lines = [f"chosen       {chosen}  -> {self.output_csv}"]
        if self.short_of:
            lines.append(f"fewer        {', '.join(self.short_of)}: the test split holds no more")
        return "\n".join(lines)

    def data(self) -> dict[str, Any]:
        return asdict(self)


def eval_batch(settings: EvalBatchSettings) -> EvalBatchResult:
    """Copy the photos, then write the CSV, then remove photos of an earlier batch: the CSV never names a missing file.

    Raises CatsdogsError where an ingested photo is missing or has changed.
    """
    if settings.output_csv.suffix.lower() != ".csv":
        raise UsageError(f"--output-csv {settings.output_csv} must end in .csv.")
    test = [row for row in read_splits(settings.processed_dir) if row.split == "test"]
    chosen = _chosen(test, settings.per_class, settings.seed)
    if not chosen:
        raise CatsdogsError(f"The test split of {settings.processed_dir} is empty: run `catsdogs preprocess` again.")
    folder = settings.output_csv.with_suffix("")
    claim_output(folder, MARK, "--output-csv")
    rows = [_copied(row, settings.processed_dir, folder) for row in chosen]
    write_eval_batch(settings.output_csv, rows)
    named = {Path(row.path).name for row in rows} | {MARK}
    for path in folder.iterdir():
        if path.name not in named:
            path.unlink()
    classes = dict(sorted(Counter(row.label for row in rows).items()))
    short = {label: count for label, count in classes.items() if count < settings.per_class}
    return EvalBatchResult(output_csv=settings.output_csv, classes=classes, short_of=short)


def _chosen(test: list[SplitRow], per_class: int, seed: int) -> list[SplitRow]:
    """The lowest hashes of seed and digest: another photo in the split changes the choice by one at most."""
    chosen: list[SplitRow] = []
    for label in sorted({row.label for row in test}):
        mine = [row for row in test if row.label == label]
        chosen += sorted(mine, key=lambda row: sha256(f"{seed}:{row.digest}".encode()))[:per_class]
    return chosen


def _copied(row: SplitRow, processed_dir: Path, folder: Path) -> EvalRow:
    original = processed_dir / row.original
    target = folder / f"{row.label}-{row.digest[:16]}{original.suffix}"
    if not target.exists():
        try:
            data = original.read_bytes()
        except FileNotFoundError:
            raise CatsdogsError(f"The ingested photo {original} is missing: run `catsdogs ingest` again.") from None
        if sha256(data) != row.digest:
            raise CatsdogsError(f"The ingested photo {original} has changed: run `catsdogs ingest` again.")
        write_bytes(target, data)
    return EvalRow(path=f"{folder.name}/{target.name}", label=row.label, digest=row.digest)
