"""Logits of the test split -> the figures of metrics.json."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catsdogs.figures import confusion_matrix, per_class, share, softmax
from catsdogs.reports import ClassReport, Interval, Mirrored, Unsure
from catsdogs.slices import Mask
from catsdogs.train.calibration import expected_calibration_error, fit_temperature
from catsdogs.train.ranking import Ranking
from catsdogs.train.unsure import choose_threshold, judge_threshold
from catsdogs.train.validation import cross_entropy


@dataclass(frozen=True)
class Calibration:
    """What the validation split says about confidences."""

    temperature: float
    unsure_below: float
    target_error: float


@dataclass(frozen=True, kw_only=True)
class TestFigures:
    __test__ = False  # not a test class, whatever pytest reads into its name

    accuracy: Interval
    test_loss: float
    log_loss: float
    auc: float
    expected_calibration_error: float
    majority_share: float
    per_class: dict[str, ClassReport]
    slices: dict[str, Interval]
    unsure: Unsure
    confusion: list[list[int]]


def calibrate(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], target_error: float) -> Calibration:
    temperature = fit_temperature(logits, labels)
    threshold = choose_threshold(softmax(logits / temperature), labels, target_error)
    return Calibration(temperature, threshold, target_error)


def judge(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], classes: list[str], calibration: Calibration,
    slices: dict[str, Mask] | None = None,
) -> TestFigures:
    """Every figure of a split from its logits, float32 [n, classes], and labels, int64 [n].

    `slices` are parts of the split, bool [n] each.
    """
    temperature = calibration.temperature
    answers = logits.argmax(1)
    right = answers == labels
    probabilities = softmax(logits / temperature)
    confusion = confusion_matrix(labels.tolist(), answers.tolist(), len(classes))
    return TestFigures(
        accuracy=share(int(right.sum()), len(labels)),
        test_loss=cross_entropy(logits, labels),
        log_loss=cross_entropy(logits, labels, temperature),
        auc=_auc(probabilities, labels),
        expected_calibration_error=expected_calibration_error(probabilities, labels),
        majority_share=float(np.bincount(labels).max() / len(labels)),
        per_class=per_class(classes, confusion),
        slices={name: share(int(right[mask].sum()), int(mask.sum())) for name, mask in (slices or {}).items()
                if mask.any()},
        unsure=judge_threshold(probabilities, labels, calibration.unsure_below, calibration.target_error),
        confusion=confusion.tolist(),
    )


def judge_mirrored(
    logits: npt.NDArray[np.float32], mirrored: npt.NDArray[np.float32], labels: npt.NDArray[np.int64],
    calibration: Calibration,
) -> Mirrored:
    """The figures of the mean of both logits, float32 [n, classes] each."""
    both = ((logits + mirrored) / 2).astype(np.float32)
    return Mirrored(accuracy=share(int((both.argmax(1) == labels).sum()), len(labels)),
                    log_loss=cross_entropy(both, labels, calibration.temperature))


def _auc(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    classes = range(1, 2) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    return float(np.mean([Ranking.of(labels == number, probabilities[:, number]).auc() for number in classes]))
