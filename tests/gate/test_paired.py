"""The paired test: what passes, what is refused, and how often it is wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from catsdogs.gate.paired import compare, not_worse_p, worse_p


@given(st.lists(st.booleans(), min_size=1, max_size=400), st.integers(0, 400))
@settings(max_examples=100, deadline=None)
def test_better_answers_never_hurt(right: list[bool], place: int) -> None:
    champion = np.array(right)
    better = champion.copy()
    better[place % len(right)] = True
    before, after = (compare(mine, champion, 0.02, 0.05) for mine in (champion, better))
    assert after.p_value <= before.p_value and after.loss_at_most <= before.loss_at_most + 1e-9
    assert before.difference == 0 and before.p_worse == 1.0 and before.lost == before.gained == 0


@pytest.mark.parametrize("photos", [250, 1600, 5000])
def test_equal_answers_pass_where_there_are_enough_photos(photos: int) -> None:
    right = np.random.default_rng(1).random(photos) < 0.9
    assert compare(right, right, 0.02, 0.05).passed


def test_too_few_photos_say_how_many_it_takes() -> None:
    right = np.ones(40, bool)
    paired = compare(right, right, 0.02, 0.05)
    assert not paired.passed and paired.photos_needed is not None and 150 < paired.photos_needed < 300
    enough = np.ones(paired.photos_needed, bool)
    assert compare(enough, enough, 0.02, 0.05).passed


@given(st.integers(300, 3000), st.floats(0.06, 0.5), st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_planted_losses_are_refused(photos: int, flipped: float, seed: int) -> None:
    """A challenger whose answers are the champion's, but for a share of them that is turned round."""
    generator = np.random.default_rng(seed)
    champion = generator.random(photos) < 0.95
    turned = np.zeros(photos, bool)
    turned[generator.permutation(photos)[:int(flipped * photos)]] = True
    paired = compare(champion ^ turned, champion, 0.02, 0.05)
    assert not paired.passed and paired.difference < -0.02
    assert paired.loss_at_most > 0.02


@pytest.mark.parametrize("disagreement", [0.02, 0.03, 0.06, 0.2, 0.5])
@pytest.mark.parametrize(("photos", "margin"), [(200, 0.02), (400, 0.02), (60, 0.1)])
def test_the_level_holds(photos: int, margin: float, disagreement: float) -> None:
    """A challenger that loses exactly the margin passes in at most 5 of 100 test sets (20,000 simulated)."""
    disagreement = max(disagreement, margin)
    lost, gained = (disagreement + margin) / 2, (disagreement - margin) / 2
    drawn = np.random.default_rng(7).multinomial(photos, [lost, gained, 1 - lost - gained], 20_000)
    values, counts = np.unique(drawn[:, :2], axis=0, return_counts=True)
    passed = [not_worse_p(photos, int(b), int(c), margin) <= 0.05 for b, c in values]
    assert counts[passed].sum() / 20_000 <= 0.05


def test_the_test_is_not_needlessly_strict() -> None:
    """Equally good models that disagree on 4 % of 1,600 photos mostly pass; a test that refuses all is no test."""
    drawn = np.random.default_rng(3).multinomial(1600, [0.02, 0.02, 0.96], 1000)
    assert np.mean([not_worse_p(1600, int(b), int(c), 0.02) <= 0.05 for b, c, _ in drawn]) > 0.9


@given(st.integers(2, 300), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.2))
@settings(max_examples=50, deadline=None)
def test_the_statistic_uses_the_likeliest_rates_at_the_margin(
    photos: int, first: float, second: float, margin: float
) -> None:
    """The closed form of the restricted estimate against a search over the likelihood itself."""
    lost = int(first * photos)
    gained = int(second * (photos - lost))
    grid = np.linspace(1e-9, (1 - margin) / 2 - 1e-9, 20_001)
    likelihood = (lost * np.log(grid + margin) + gained * np.log(grid)
                  + (photos - lost - gained) * np.log(1 - margin - 2 * grid))
    rate = grid[likelihood.argmax()]
    z = (lost - gained - photos * margin + 1) / np.sqrt(photos * (2 * rate + margin * (1 - margin)))
    assert not_worse_p(photos, lost, gained, margin) == pytest.approx(norm.cdf(z), abs=2e-3)


def test_mcnemar_is_exact() -> None:
    assert worse_p(9, 1) == pytest.approx(11 / 1024)
    assert worse_p(1, 9) == pytest.approx(1023 / 1024)
    assert worse_p(0, 0) == 1.0
