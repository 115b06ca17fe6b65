import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.doubt import doubt

SHARES = st.floats(0, 1)
DISTANCES = st.floats(0, 1e6)


@given(SHARES, DISTANCES, SHARES, SHARES, st.floats(0, 100), st.floats(0, 100))
def test_stricter_thresholds_never_make_an_answer_sure(
    confidence: float, distance: float, low: float, high: float, near: float, far: float
) -> None:
    low, high, near, far = min(low, high), max(low, high), min(near, far), max(near, far)
    lax = doubt(confidence, distance, unsure_below=low, unfamiliar_above=far)
    for strict in (doubt(confidence, distance, unsure_below=high, unfamiliar_above=far),
                   doubt(confidence, distance, unsure_below=low, unfamiliar_above=near)):
        assert strict is not None or lax is None


@given(SHARES, DISTANCES, SHARES, st.floats(0, 100))
def test_it_is_in_doubt_exactly_where_a_threshold_is_passed(
    confidence: float, distance: float, unsure_below: float, unfamiliar_above: float
) -> None:
    found = doubt(confidence, distance, unsure_below=unsure_below, unfamiliar_above=unfamiliar_above)
    assert (found is None) == (confidence >= unsure_below and distance <= unfamiliar_above)
    if found is not None:
        assert found.kind == ("unfamiliar" if distance > unfamiliar_above else "low-confidence")
        assert found.reason.endswith(".")


def test_a_model_that_cannot_tell_judges_by_confidence_alone() -> None:
    for distance, limit in ((None, 1.0), (7.0, None)):
        assert doubt(0.9, distance, unsure_below=0.8, unfamiliar_above=limit) is None
        assert doubt(0.7, distance, unsure_below=0.8, unfamiliar_above=limit) is not None


def test_no_number_is_never_sure() -> None:
    assert doubt(math.nan, 0.0, unsure_below=0.0, unfamiliar_above=1.0) is not None
    assert doubt(1.0, math.nan, unsure_below=0.0, unfamiliar_above=1.0) is not None


@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=6), st.floats(0.05, 20))
def test_a_temperature_never_changes_the_label_and_probabilities_sum_to_1(
    logits: list[float], temperature: float
) -> None:
    from catsdogs.figures import softmax

    row = np.array([logits], np.float32)
    probabilities = softmax(row / np.float32(temperature))[0]
    assert abs(probabilities.sum() - 1) < 1e-9
    assert probabilities[row[0].argmax()] == probabilities.max()
