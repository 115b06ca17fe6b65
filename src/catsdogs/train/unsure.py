"""Below which confidence an answer should rather be "unsure"."""

import numpy as np
import numpy.typing as npt

from catsdogs.reports import Interval, Unsure
from catsdogs.figures import share


def choose_threshold(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], target: float) -> float:
    """The lowest confidence from which on at most `target` of these photos are answered wrongly, 0 to 1.

    Selective classification on a validation split (Geifman and El-Yaniv 2017), without their bound: the report says
    what it led to on the test split. 1 where no confidence is enough.
    """
    confidence, wrong = probabilities.max(1), probabilities.argmax(1) != labels
    order = np.argsort(-confidence, kind="stable")
    errors = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    # photos of one confidence stay or go together
    last_of_its_kind = np.append(np.diff(confidence[order]) != 0, True)
    kept = np.flatnonzero((errors <= target) & last_of_its_kind)
    return float(confidence[order][kept[-1]]) if len(kept) else 1.0


def judge_threshold(
    probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], threshold: float, target: float
) -> Unsure:
    """What answering only from `threshold` on means for a split."""
    sure = probabilities.max(1) >= threshold
    wrong = (probabilities.argmax(1) != labels) & sure
    error: Interval | None = share(int(wrong.sum()), int(sure.sum())) if sure.any() else None
    return Unsure(threshold=threshold, target_error=target, share_unsure=float(1 - sure.mean()), error=error)
