"""Labels that are probably wrong: confident learning (Northcutt et al. 2021, cleanlab) on out-of-fold answers."""

import time
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from catsdogs.artifacts import ManifestRow, Preprocessed
from catsdogs.doctor.report import LabelCheck, Photo, WrongLabel
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.fixes import Action, Fix, fix_line
from catsdogs.images import square
from catsdogs.log import progress
from catsdogs.packed import open_packed

SIDE = 64  # pixels that the networks see
RANKED = 300
SEED = 42

Views = dict[str, npt.NDArray[np.uint8]]  # digest -> the photo as the networks see it


def check_labels(
    kept: list[ManifestRow], splits: dict[str, set[str]], processed: Path, fixes: dict[str, Fix], folds: int,
    epochs: int,
) -> tuple[LabelCheck, Views]:
    """Judge every photo that is both kept and packed; photos whose label a person has decided on are not listed.

    Raises CatsdogsError where the parts for it are not installed, UsageError where nothing was preprocessed.
    """
    missing = [name for name in ("cleanlab", "torch") if find_spec(name) is None]
    if missing:
        raise CatsdogsError(f"--labels needs {' and '.join(missing)}: pip install 'catsdogs[doctor]'.")
    if not (processed / Preprocessed.FILE_NAME).exists():
        raise UsageError(f"--labels needs the processed photos, and {processed} holds none: run `catsdogs preprocess`.")
    started = time.monotonic()
    rows, pixels = _small(kept, processed)
    classes = sorted({row.label for row in rows})
    labels = np.array([classes.index(row.label) for row in rows], dtype=np.int64)
    parts = np.array([fold_of(row.group, folds) for row in rows], dtype=np.int64)
    _refuse_thin(labels, parts, classes, folds)

    from catsdogs.doctor.folds import out_of_fold

    with progress("labels", epochs * int(sum((parts != part).sum() for part in np.unique(parts)))) as bar:
        answers = out_of_fold(pixels, labels, parts, classes=len(classes), epochs=epochs, seed=SEED, bar=bar)
    wrong, quality = confident_learning(labels, answers)
    decided = {digest for digest, fix in fixes.items() if fix.action in (Action.KEEP, Action.RELABEL)}
    order = [place for place in np.argsort(quality, kind="stable") if rows[place].digest not in decided]
    ranked = []
    for place in order[:RANKED]:
        row, answer = rows[place], answers[place].copy()
        own = float(answer[labels[place]])
        answer[labels[place]] = -1
        best = int(answer.argmax())
        split = "+".join(sorted(splits.get(row.digest, ()))) or None
        ranked.append(WrongLabel(
            photo=Photo.of(row, split, row.path), suggested=classes[best], probability=float(answer[best]),
            own_probability=own, issue=bool(wrong[place]),
            fix=fix_line(row.digest, Action.RELABEL, f"it shows a {classes[best]}", classes[best]),
        ))
    check = LabelCheck(
        photos=len(rows), folds=folds, epochs=epochs, accuracy=float((answers.argmax(axis=1) == labels).mean()),
        issues=int(sum(wrong[place] for place in order)), seconds=time.monotonic() - started, ranked=ranked,
    )
    views = {rows[place].digest: pixels[place] for place in order[:RANKED]}
    return check, views


def confident_learning(
    labels: npt.NDArray[np.int64], answers: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Which of the labels [n] are wrong by the answers [n, classes], and how good each is (0 bad, 1 good)."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    wrong = find_label_issues(labels, answers, filter_by="both", n_jobs=1)
    return np.asarray(wrong), np.asarray(get_label_quality_scores(labels, answers))


def fold_of(group: str, folds: int) -> int:
    """Photos that look the same are judged by the same network: else one would tell the other's label."""
    return int.from_bytes(sha256(f"fold:{group}".encode()).digest()[:8]) % folds


def _small(kept: list[ManifestRow], processed: Path) -> tuple[list[ManifestRow], npt.NDArray[np.uint8]]:
    by_digest = {row.digest: row for row in kept}
    packed = open_packed(processed)
    side = min(SIDE, packed.about.image_size)
    found = [
        (by_digest[row.digest], split.pixels, place)
        for split in (packed.train, packed.val, packed.test) for place, row in enumerate(split.rows)
        if row.digest in by_digest
    ]
    if not found:
        raise UsageError(f"{processed} was made from other photos: run `catsdogs preprocess` again.")
    pixels = np.empty((len(found), side, side, 3), dtype=np.uint8)
    for number, (_, large, place) in enumerate(found):
        pixels[number] = square(Image.fromarray(np.asarray(large[place])), side)
    return [row for row, _, _ in found], pixels


def _refuse_thin(
    labels: npt.NDArray[np.int64], parts: npt.NDArray[np.int64], classes: list[str], folds: int
) -> None:
    for number, label in enumerate(classes):
        of_class = parts[labels == number]
        if any((of_class != part).sum() == 0 for part in np.unique(parts)):
            raise UsageError(
                f"There are too few photos of {label!r} ({len(of_class)}) for --label-folds {folds}: add photos."
            )
