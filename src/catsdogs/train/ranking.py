"""How well a score ranks photos: ROC, the area under it, precision and recall.

In numpy: importing scikit-learn for these took 1.9 s, of a training that may have 20.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """From every distinct score down: how many photos with at least that are right, and how many wrong."""

    right: Floats  # [thresholds], rising
    wrong: Floats

    @classmethod
    def of(cls, truth: npt.NDArray[np.bool_], scores: npt.NDArray[np.floating]) -> Self:
        """`truth` [n] says which photos a high score, [n], is right for."""
        order = np.argsort(-scores, kind="stable")
        sorted_scores = scores[order]
        ends = np.append(np.flatnonzero(sorted_scores[1:] != sorted_scores[:-1]), len(scores) - 1)
        right = np.cumsum(truth[order], dtype=np.float64)[ends]
        return cls(right, ends + 1 - right)

    def roc(self) -> tuple[Floats, Floats]:
        """Rates of false and of true positives, 0 to 1; NaN where there are no photos of either."""
        with np.errstate(invalid="ignore"):
            return _from_nothing(self.wrong / self.wrong[-1]), _from_nothing(self.right / self.right[-1])

    def auc(self) -> float:
        """Area under it: the share of pairs in which the right photo has the higher score, ties counting half."""
        wrong, right = self.roc()
        return float(np.trapezoid(right, wrong))

    def recall_and_precision(self) -> tuple[Floats, Floats]:
        """Each 0 to 1, from the highest score down."""
        with np.errstate(invalid="ignore"):
            return self.right / self.right[-1], self.right / (self.right + self.wrong)


def _from_nothing(rates: Floats) -> Floats:
    return np.concatenate([rates[:1] * 0, rates])
