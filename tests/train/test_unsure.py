import numpy as np
import pytest

from catsdogs.train.unsure import choose_threshold, judge_threshold


def answered(confidences: list[float], right: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that name class 0 with these confidences, and the labels that make them right or wrong."""
    confidence = np.array(confidences)
    return np.stack([confidence, 1 - confidence], axis=1), np.where(right, 0, 1)


def test_the_lowest_confidence_that_keeps_the_target() -> None:
    probabilities, labels = answered([0.99, 0.9, 0.8, 0.7, 0.6], [True, True, False, True, True])
    assert choose_threshold(probabilities, labels, 0.0) == pytest.approx(0.9)
    assert choose_threshold(probabilities, labels, 0.2) == pytest.approx(0.6)
    assert choose_threshold(probabilities, labels, 0.25) == pytest.approx(0.6)


def test_photos_of_one_confidence_stay_together() -> None:
    probabilities, labels = answered([0.9, 0.8, 0.8, 0.8], [True, True, False, False])
    assert choose_threshold(probabilities, labels, 0.0) == pytest.approx(0.9)


def test_where_nothing_is_good_enough_everything_is_unsure() -> None:
    probabilities, labels = answered([0.9, 0.8], [False, True])
    assert choose_threshold(probabilities, labels, 0.0) == 1.0
    report = judge_threshold(probabilities, labels, 1.0, 0.0)
    assert report.share_unsure == 1.0 and report.error is None


def test_the_share_left_unsure_and_the_error_of_the_rest() -> None:
    probabilities, labels = answered([0.9, 0.9, 0.9, 0.9, 0.6], [True, True, True, False, False])
    report = judge_threshold(probabilities, labels, 0.9, 0.02)
    assert report.share_unsure == pytest.approx(0.2)
    assert report.error is not None and report.error.value == 0.25 and report.error.count == 4


def test_on_many_calibrated_photos_the_target_is_met_on_others() -> None:
    random = np.random.default_rng(0)
    splits = []
    for _ in range(2):
        confidence = random.uniform(0.5, 1, 20_000)
        splits.append(answered(list(confidence), list(random.random(20_000) < confidence)))
    threshold = choose_threshold(*splits[0], 0.05)
    report = judge_threshold(*splits[1], threshold, 0.05)
    assert 0.88 < threshold < 0.92  # the mean of a uniform confidence above t is (1 + t) / 2
    assert report.error is not None and 0.04 < report.error.value < 0.06
