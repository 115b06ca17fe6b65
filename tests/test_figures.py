"""Figures that more than one stage reports."""

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from catsdogs.figures import share


@given(st.integers(1, 10**6).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
@example((0, 1))
@example((1, 1))
@example((0, 10**6))
@example((10**6, 10**6))
def test_the_interval_of_a_share_is_that_of_scipy(counts: tuple[int, int]) -> None:
    from scipy.stats import binomtest

    successes, count = counts
    found = share(successes, count)
    expected = binomtest(successes, count).proportion_ci(confidence_level=0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.value == successes / count and 0 <= found.low <= found.value <= found.high <= 1


def test_a_training_does_not_wait_for_the_statistics_of_scipy() -> None:
    code = "import sys, catsdogs.train.stage, catsdogs.figures as f; f.share(1, 2); print('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
