"""One temperature makes confidences mean what they say (Guo et al. 2017, On Calibration of Modern Neural Networks)."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from catsdogs.figures import calibration_error
from catsdogs.train.validation import cross_entropy

LOGITS_RANGE = (0.05, 20.0)  # a temperature beyond these says that the validation split is too small to tell


def fit_temperature(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    """The temperature with the lowest cross-entropy on these photos. Convex in 1/T, so a bounded search finds it."""
    low, high = np.log(LOGITS_RANGE)
    best = minimize_scalar(lambda t: cross_entropy(logits, labels, float(np.exp(t))), bounds=(low, high),
                           method="bounded")
    return float(np.exp(best.x))


def expected_calibration_error(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """Of probabilities, float [n, classes], against labels, int [n]."""
    return calibration_error(probabilities.max(1), probabilities.argmax(1) == labels)
