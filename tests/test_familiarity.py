import numpy as np
import torch

from catsdogs.familiarity import KNOWN, PASS_BY_KINDS, ByKinds, _by_kinds
from catsdogs.nets.network import Kinds

KINDS = Kinds(5, 5).take(20 * torch.eye(5), torch.zeros(5))  # feature k speaks for kind k


def features(*kinds: int, count: int = 50) -> np.ndarray:
    """Photos of each of these kinds in turn, [n, 5], none quite like the other."""
    random = np.random.default_rng(1)
    numbers = np.resize(kinds, count)
    return (np.eye(5)[numbers] + random.uniform(0, 0.4, (count, 5))).astype(np.float32)


def test_a_photo_of_a_kind_that_training_did_not_show_is_far() -> None:
    distance = _by_kinds(KINDS, features(0, 1), features(1, 0, count=400))
    assert distance.known[:2].tolist() == [0, 0] and distance.known[2:].max() < -5
    with torch.inference_mode():
        usual, other = (distance(torch.from_numpy(features(*kinds))) for kinds in ((0, 1), (2, 3)))
    assert usual.max() < 1.5 and other.min() > 5


def test_the_limit_lets_its_share_of_validation_photos_pass() -> None:
    validation = features(0, 1, 2, count=4000)  # of which training showed two kinds
    distance = _by_kinds(KINDS, features(0, 1), validation)
    with torch.inference_mode():
        passed = (distance(torch.from_numpy(validation)) <= 1).float().mean()
    assert abs(float(passed) - PASS_BY_KINDS) < 1e-3


def test_the_distance_is_minus_the_logarithm_of_what_is_known() -> None:
    known = np.array([1, 1e-9, 0.5, 0.01, 0.01], np.float32)
    seen = torch.from_numpy(features(0, 2, 3, count=9))
    with torch.inference_mode():
        expected = -(KINDS(seen).softmax(1) @ torch.from_numpy(known)).log()
        assert torch.allclose(ByKinds(KINDS, known)(seen), expected, atol=1e-4)


def test_what_training_showed_seldom_is_known_in_part() -> None:
    seldom = np.concatenate([features(0, count=5000), features(1, count=5)])  # a thousandth
    distance = _by_kinds(KINDS, seldom, features(0))
    assert distance.known[0] == 0 and -3 < distance.known[1] < -0.5 and distance.known[2:].max() < -5


def test_where_training_showed_everything_nothing_is_far() -> None:
    distance = _by_kinds(KINDS, features(0, 1, 2, 3, 4), features(0))
    assert distance.known.tolist() == [0] * 5 and KNOWN < 1 / 5
    with torch.inference_mode():
        assert distance(torch.from_numpy(features(4))).max() <= 1
