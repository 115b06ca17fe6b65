"""Which photo trains, validates or tests: decided by its content alone, so that adding photos moves none."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from catsdogs.artifacts import SPLIT_NAMES, ManifestRow
from catsdogs.errors import CatsdogsError, UsageError

Split = Literal["train", "val", "test"]
SEEDS_TRIED = 1000


def check_ratios(train_ratio: float, val_ratio: float) -> None:
    """Raises UsageError unless all three splits get a positive share."""
    if train_ratio <= 0 or val_ratio <= 0 or train_ratio + val_ratio > 1 - 1e-9:
        raise UsageError(
            f"--train-ratio {train_ratio:g} and --val-ratio {val_ratio:g} must be above 0 and leave a share "
            "for the test split: their sum must be below 1."
        )


def split_of(group: str, seed: int, train_ratio: float, val_ratio: float) -> Split:
    """The split of a group of photos that look the same: a hash, read as a number in [0, 1), against the ratios."""
    fraction = int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8]) / 2**64
    if fraction < train_ratio:
        return "train"
    return "val" if fraction < train_ratio + val_ratio else "test"


def assign(rows: Iterable[ManifestRow], seed: int, train_ratio: float, val_ratio: float) -> dict[str, Split]:
    """Digest -> split. Raises CatsdogsError where a split would hold no photo of a class."""
    rows = list(rows)
    splits = {row.digest: split_of(row.group, seed, train_ratio, val_ratio) for row in rows}
    missing = _empty_cells(rows, splits)
    if missing:
        split, label = missing[0]
        count = sum(row.label == label for row in rows)
        raise CatsdogsError(
            f"The {split} split would hold no {label!r}: {count} photos of it are few for these ratios. "
            f"Add photos, change --train-ratio or --val-ratio, or {_way_out(rows, seed, train_ratio, val_ratio)}."
        )
    return splits


def _empty_cells(rows: list[ManifestRow], splits: dict[str, Split]) -> list[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter((splits[row.digest], row.label) for row in rows)
    labels = sorted({row.label for row in rows})
    return [(split, label) for split in SPLIT_NAMES for label in labels if not counts[split, label]]


def _way_out(rows: list[ManifestRow], seed: int, train_ratio: float, val_ratio: float) -> str:
    for other in range(seed + 1, seed + 1 + SEEDS_TRIED):
        splits = {row.digest: split_of(row.group, other, train_ratio, val_ratio) for row in rows}
        if not _empty_cells(rows, splits):
            return f"use --seed {other}, which fills every split"
    return "merge classes: no seed nearby fills every split"
