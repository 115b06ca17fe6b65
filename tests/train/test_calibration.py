"""Properties of the calibration: what a temperature may and may not change."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from catsdogs.figures import calibration_error
from catsdogs.train.calibration import LOGITS_RANGE, fit_temperature
from catsdogs.train.validation import cross_entropy

SEEDS, CLASSES = st.integers(0, 2**32 - 1), st.integers(2, 5)


def calibrated(seed: int, classes: int, count: int = 400) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Logits, and labels drawn with exactly the probabilities that they say."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (count, classes)).astype(np.float32)
    return logits, (logits + random.gumbel(size=logits.shape)).argmax(1)


@settings(max_examples=40)
@given(SEEDS, CLASSES, st.floats(0.2, 5))
def test_the_temperature_is_never_worse_than_any_other(seed: int, classes: int, other: float) -> None:
    logits, labels = calibrated(seed, classes)
    fitted = fit_temperature(logits, labels)
    assert LOGITS_RANGE[0] <= fitted <= LOGITS_RANGE[1]
    assert cross_entropy(logits, labels, fitted) <= cross_entropy(logits, labels, other) + 1e-6


@settings(max_examples=40)
@example(218, 4, 1.3153325754372882)
@given(SEEDS, CLASSES, st.floats(0.25, 4))
def test_what_is_overconfident_by_a_factor_is_cooled_by_it(seed: int, classes: int, factor: float) -> None:
    logits, labels = calibrated(seed, classes)
    plain = fit_temperature(logits, labels)
    assert plain == pytest.approx(1, rel=0.35)  # 400 photos tell it no better
    assert fit_temperature(logits * np.float32(factor), labels) == pytest.approx(plain * factor, rel=2e-3)


@settings(max_examples=60)
@given(SEEDS, st.permutations(range(200)))
def test_the_calibration_error_is_a_share_and_knows_no_order(seed: int, order: list[int]) -> None:
    random = np.random.default_rng(seed)
    confidence, right = random.uniform(0, 1, 200), random.random(200) < 0.7
    error = calibration_error(confidence, right)
    assert 0 <= error <= 1
    assert calibration_error(confidence[order], right[order]) == pytest.approx(error, abs=1e-9)
    assert calibration_error(np.ones(200), np.ones(200, bool)) == pytest.approx(0)
    assert calibration_error(np.ones(200), np.zeros(200, bool)) == pytest.approx(1)
