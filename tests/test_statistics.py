import numpy as np
import pytest

from catsdogs.mahalanobis import Classes
from catsdogs.statistics import statistics
from tests.photos import picture


@pytest.mark.parametrize("side", [8, 9, 16, 33, 224])
def test_every_size_and_the_plainest_photos_give_finite_numbers(side: int) -> None:
    lengths = set()
    for pixels in (np.zeros((side, side, 3), np.uint8), np.full((side, side, 3), 255, np.uint8),
                   np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)):
        (values,) = statistics(pixels[None])
        assert np.isfinite(values).all() and values.dtype == np.float32
        lengths.add(len(values))
    assert len(lengths) == 1


def test_brightness_colour_and_edges_are_measured() -> None:
    blank, noise = np.full((32, 32, 3), 128, np.uint8), np.random.default_rng(0).integers(
        0, 256, (32, 32, 3), dtype=np.uint8)
    of_blank, of_noise = statistics(np.stack([blank, noise]))
    assert of_blank[0] == pytest.approx(128 / 255, abs=1e-5)
    assert of_blank[5] > of_noise[5]  # equal neighbours
    assert of_noise[10] > of_blank[10]  # edges


def test_of_a_known_picture_they_are_what_they_are_called() -> None:
    """Stripes of 0 and 255, each a pixel wide: every neighbour to the right differs by all, none below."""
    stripes = np.zeros((1, 32, 32, 3), np.uint8)
    stripes[:, :, 1::2] = 255
    mean, spread, tint, light, dark, flat, uneven, *_, gradient, ratio = statistics(stripes)[0, :12].tolist()
    assert mean == pytest.approx(0.5)
    expected = np.log([0.51, 0.003, 0.51, 0.51, 0.51, 0.51, 1.002])
    assert [spread, tint, light, dark, flat, uneven, gradient] == pytest.approx(expected, abs=1e-4)
    assert ratio == pytest.approx(np.log(2), abs=1e-3)  # a mean square of 1 over half the square of a sum of 1


def test_some_photos_are_described_as_each_alone() -> None:
    some = np.random.default_rng(3).integers(0, 256, (5, 33, 33, 3), dtype=np.uint8)
    alone = np.concatenate([statistics(some[place:place + 1]) for place in range(5)])
    assert statistics(some) == pytest.approx(alone, abs=1e-5)


def test_the_distance_is_that_of_mahalanobis() -> None:
    """Against scipy, on values whose covariance is far from round."""
    from scipy.spatial.distance import mahalanobis

    random = np.random.default_rng(1)
    mixing = random.normal(size=(5, 5))
    labels = np.repeat([0, 1, 3], 4000)
    values = random.normal(size=(12_000, 5)) @ mixing + labels[:, None]
    usual = Classes.fit(values, labels)
    spread = values.std(0)
    within = np.concatenate([values[labels == label] - values[labels == label].mean(0) for label in (0, 1, 3)])
    inverse = np.linalg.inv(np.cov((within / spread).T, bias=True) + 0.05 * np.eye(5))
    for point in values[::1000] + 3:
        expected = min(mahalanobis(point / spread, values[labels == label].mean(0) / spread, inverse)
                       for label in (0, 1, 3))
        assert usual.distance(point[None].astype(np.float32))[0] == pytest.approx(expected, rel=1e-3)


def test_the_limit_lets_the_share_pass() -> None:
    random = np.random.default_rng(2)
    usual = Classes.fit(random.normal(size=(3000, 4)), np.zeros(3000, np.int64))
    others = random.normal(size=(2000, 4)).astype(np.float32)
    assert (usual.limited(others, 0.99).distance(others) <= 1).mean() == pytest.approx(0.99, abs=0.001)
    halved = usual.limited(others, 0.99).limited(others, 0.5)
    assert (halved.distance(others) <= 1).mean() == pytest.approx(0.5, abs=0.01)


def test_a_picture_is_nearer_to_pictures_than_noise_is() -> None:
    pictures = statistics(np.stack([np.asarray(picture(seed, (64, 64))) for seed in range(120)]))
    usual = Classes.fit(pictures[:80], np.zeros(80, np.int64)).limited(pictures[80:], 1.0)
    noise = statistics(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8))
    assert usual.distance(noise)[0] > 2
