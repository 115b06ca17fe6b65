"""Labels that are probably wrong: confident learning (Northcutt et al. 2021, cleanlab) on out-of-fold answers."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
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
from catsdogs.settings.training import LITE0, LITE0_PACKAGE

SIDE = 64  # pixels that the networks see
RANKED = 300
NONE = "none"  # no backbone: networks of our own
SEED = 42

Pixels = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Views = dict[str, npt.NDArray[np.uint8]]  # digest -> the photo as the networks see it


@dataclass(frozen=True)
class _Judge:
    side: Callable[[int], int]  # of the photos it sees, by that of the packed ones
    answers: Callable[[Pixels, Numbers, Numbers, int], npt.NDArray[np.float32]]  # out of fold, [n, classes]


def require(processed: Path, backbone: str) -> None:
    """Raises CatsdogsError where the parts for it are not installed, UsageError where nothing was preprocessed."""
    needed = ("cleanlab", "torch", *((LITE0_PACKAGE,) if backbone == LITE0 else ()))
    if missing := [name for name in needed if find_spec(name) is None]:
        raise CatsdogsError(f"--labels needs {' and '.join(missing)}: pip install 'catsdogs[doctor]'.")
    if not (processed / Preprocessed.FILE_NAME).exists():
        raise UsageError(f"--labels needs the processed photos, and {processed} holds none: run `catsdogs preprocess`.")


def check_labels(
    kept: list[ManifestRow], splits: dict[str, set[str]], processed: Path, fixes: dict[str, Fix], folds: int,
    epochs: int, backbone: str = LITE0,
) -> tuple[LabelCheck, Views]:
    """Judge every photo that is both kept and packed; photos whose label a person has decided on are not listed.

    Raises UsageError where photos are too few, or not those that were preprocessed.
    """
    started = time.monotonic()

    judge = _by_networks(epochs) if backbone == NONE else _by_features(backbone)
    rows, pixels = _small(kept, processed, judge)
    classes = sorted({row.label for row in rows})
    labels = np.array([classes.index(row.label) for row in rows], dtype=np.int64)
    parts = np.array([fold_of(row.group, folds) for row in rows], dtype=np.int64)
    _refuse_thin(labels, parts, classes, folds)
    answers = judge.answers(pixels, labels, parts, len(classes))
    suspicious = rank(rows, labels, answers, classes, splits, fixes)
    check = LabelCheck(
        photos=len(rows), folds=folds, epochs=epochs if backbone == NONE else 0,
        backbone=None if backbone == NONE else backbone,
        accuracy=float((answers.argmax(axis=1) == labels).mean()),
        learned=_learned(labels, answers), issues=sum(one.issue for one in suspicious),
        seconds=time.monotonic() - started, ranked=suspicious[:RANKED],
    )
    places = {row.digest: place for place, row in enumerate(rows)}
    return check, {one.photo.digest: pixels[places[one.photo.digest]] for one in check.ranked}


def _by_networks(epochs: int) -> _Judge:
    """Small networks of our own, trained on the other folds."""
    from catsdogs.doctor.folds import out_of_fold, smallest_side

    def answers(pixels: Pixels, labels: Numbers, parts: Numbers, classes: int) -> npt.NDArray[np.float32]:
        with progress("labels", epochs * int(sum((parts != part).sum() for part in np.unique(parts)))) as bar:
            return out_of_fold(pixels, labels, parts, classes=classes, epochs=epochs, seed=SEED, bar=bar)

    return _Judge(lambda packed: max(min(SIDE, packed), smallest_side()), answers)


def _by_features(name: str) -> _Judge:
    """A backbone that others trained."""
    from catsdogs.doctor.backbone import load, out_of_fold

    network, side = load(name)

    def answers(pixels: Pixels, labels: Numbers, parts: Numbers, classes: int) -> npt.NDArray[np.float32]:
        with progress("labels", len(labels)) as bar:
            return out_of_fold(network, pixels, labels, parts, classes=classes, bar=bar)

    return _Judge(lambda packed: side, answers)


def _learned(labels: npt.NDArray[np.int64], answers: npt.NDArray[np.float32]) -> bool:
    """At least half of what always naming the largest class gets wrong is answered rightly."""
    guessed = np.bincount(labels).max() / len(labels)
    return bool((answers.argmax(axis=1) == labels).mean() >= (1 + guessed) / 2)


def rank(
    rows: list[ManifestRow], labels: npt.NDArray[np.int64], answers: npt.NDArray[np.float32], classes: list[str],
    splits: dict[str, set[str]], fixes: dict[str, Fix],
) -> list[WrongLabel]:
    """Photos by how little the answers [n, classes] agree with their labels [n]; without those a person decided on."""
    wrong, quality = confident_learning(labels, answers)
    decided = {digest for digest, fix in fixes.items() if fix.action in (Action.KEEP, Action.RELABEL)}
    ranked = []
    for place in np.argsort(quality, kind="stable"):
        row, own = rows[place], int(labels[place])
        if row.digest in decided:
            continue
        others = np.where(np.arange(len(classes)) == own, -1, answers[place])
        best = int(others.argmax())
        split = "+".join(sorted(splits.get(row.digest, ()))) or None
        ranked.append(WrongLabel(
            photo=Photo.of(row, split, row.path), suggested=classes[best], probability=float(others[best]),
            own_probability=float(answers[place, own]), issue=bool(wrong[place]),
            fix=fix_line(row.digest, Action.RELABEL, f"it shows a {classes[best]}", classes[best]),
        ))
    return ranked


def confident_learning(
    labels: npt.NDArray[np.int64], answers: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Which of the labels [n] are wrong by the answers [n, classes], and how good each is (0 bad, 1 good)."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    wrong = find_label_issues(labels, answers, n_jobs=1)
    return np.asarray(wrong), np.asarray(get_label_quality_scores(labels, answers))


def fold_of(group: str, folds: int) -> int:
    """Photos that look the same are judged by the same network: else one would tell the other's label."""
    return int.from_bytes(sha256(f"fold:{group}".encode()).digest()[:8]) % folds


def _small(kept: list[ManifestRow], processed: Path, judge: _Judge) -> tuple[list[ManifestRow], Pixels]:
    """The photos that are both kept and packed, at the side that the judge sees; in a file that is never seen."""
    by_digest = {row.digest: row for row in kept}
    packed = open_packed(processed)
    side = judge.side(packed.about.image_size)
    found = [
        (by_digest[row.digest], split.pixels, place)
        for split in (packed.train, packed.val, packed.test) for place, row in enumerate(split.rows)
        if row.digest in by_digest
    ]
    if not found:
        raise UsageError(f"{processed} was made from other photos: run `catsdogs preprocess` again.")
    with tempfile.TemporaryFile(prefix="catsdogs-") as file:  # 0.8 GB for 16,000 photos of 128 px
        pixels = np.memmap(file, np.uint8, "w+", shape=(len(found), side, side, 3))
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
