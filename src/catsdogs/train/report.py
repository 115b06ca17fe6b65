"""Logits of the test split -> the figures of metrics.json."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from catsdogs.artifacts import ClassReport, Interval
from catsdogs.figures import confusion_matrix, per_class, share
from catsdogs.train.calibration import expected_calibration_error
from catsdogs.train.loop import cross_entropy


@dataclass(frozen=True, kw_only=True)
class TestFigures:
    __test__ = False  # not a test class, whatever pytest reads into its name

    accuracy: Interval
    test_loss: float
    log_loss: float
    auc: float
    expected_calibration_error: float
    per_class: dict[str, ClassReport]
    confusion: list[list[int]]


def judge(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], classes: list[str], temperature: float
) -> TestFigures:
    """Every figure of a split from its logits, float32 [n, classes], and labels, int64 [n]."""
    answers = logits.argmax(1)
    probabilities = softmax(logits / temperature)
    confusion = confusion_matrix(labels.tolist(), answers.tolist(), len(classes))
    return TestFigures(
        accuracy=share(int((answers == labels).sum()), len(labels)),
        test_loss=cross_entropy(logits, labels),
        log_loss=cross_entropy(logits, labels, temperature),
        auc=_auc(probabilities, labels),
        expected_calibration_error=expected_calibration_error(probabilities, labels),
        per_class=per_class(classes, confusion),
        confusion=confusion.tolist(),
    )


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    result: npt.NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return result


def _auc(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr", labels=range(probabilities.shape[1])))
