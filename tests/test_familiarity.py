import numpy as np
import torch

from catsdogs.familiarity import KNOWN, PASS, ByKinds, _by_kinds
from catsdogs.nets.network import Kinds

KINDS = Kinds(5, 5).take(20 * torch.eye(5), torch.zeros(5))  # feature k speaks for kind k


def features(*kinds: int, count: int = 50) -> np.ndarray:
    """Photos of each of these kinds in turn, [n, 5], none quite like the other."""
    random = np.random.default_rng(1)
    numbers = np.resize(kinds, count)
    return (np.eye(5)[numbers] + random.uniform(0, 0.4, (count, 5))).astype(np.float32)


def test_a_photo_of_a_kind_that_training_did_not_show_is_far() -> None:
    distance = _by_kinds(KINDS, features(0, 1), features(1, 0, count=400))
    assert distance.known.tolist() == [0, 1]
    with torch.inference_mode():
        usual, other = (distance(torch.from_numpy(features(*kinds))) for kinds in ((0, 1), (2, 3)))
    assert usual.max() < 1.5 and other.min() > 5


def test_the_limit_lets_its_share_of_validation_photos_pass() -> None:
    validation = features(0, 1, 2, count=4000)  # of which training showed two kinds
    distance = _by_kinds(KINDS, features(0, 1), validation)
    with torch.inference_mode():
        passed = (distance(torch.from_numpy(validation)) <= 1).float().mean()
    assert abs(float(passed) - PASS) < 1e-3


def test_the_distance_is_minus_the_logarithm_of_what_is_known() -> None:
    known = np.array([True, False, True, False, False])
    seen = torch.from_numpy(features(0, 3, count=6))
    with torch.inference_mode():
        share = KINDS(seen).softmax(1)[:, [0, 2]].sum(1)
        assert torch.allclose(ByKinds(KINDS, known)(seen), -share.log(), atol=1e-4)


def test_where_training_showed_everything_nothing_is_far() -> None:
    distance = _by_kinds(KINDS, features(0, 1, 2, 3, 4), features(0))
    assert len(distance.known) == 5 and KNOWN < 1 / 5
    with torch.inference_mode():
        assert distance(torch.from_numpy(features(4))).max() <= 1
