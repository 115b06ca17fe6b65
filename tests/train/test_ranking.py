"""Against scikit-learn, which is slower to import than these are to compute."""

import math
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from catsdogs.train.ranking import Ranking
from catsdogs.train.report import _auc


@pytest.mark.parametrize("steps", [3, 10, 10**9])  # scores with many ties, and with none
def test_curves_and_area_are_those_of_scikit_learn(steps: int) -> None:
    random = np.random.default_rng(steps)
    truth = random.random(500) < 0.3
    scores = np.floor((random.random(500) + 0.5 * truth) * steps) / steps
    ranking = Ranking.of(truth, scores)
    assert ranking.auc() == pytest.approx(roc_auc_score(truth, scores))
    wrong, right, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert ranking.roc()[0] == pytest.approx(wrong) and ranking.roc()[1] == pytest.approx(right)
    precision, recall, _ = precision_recall_curve(truth, scores)  # from the lowest score up, with an end of its own
    assert ranking.recall_and_precision()[0] == pytest.approx(recall[-2::-1])
    assert ranking.recall_and_precision()[1] == pytest.approx(precision[-2::-1])


def test_of_several_classes_each_is_ranked_against_the_rest() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 4, 300)
    probabilities = random.dirichlet(np.ones(4), 300) + 0.5 * np.eye(4)[labels]
    probabilities /= probabilities.sum(1, keepdims=True)
    assert _auc(probabilities, labels) == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr"))


def test_without_a_wrong_or_a_right_photo_there_is_no_area() -> None:
    scores = np.array([0.2, 0.7, 0.7])
    for truth in (np.ones(3, bool), np.zeros(3, bool)):
        assert math.isnan(Ranking.of(truth, scores).auc())


def test_a_training_does_not_wait_for_scikit_learn() -> None:
    code = "import sys, catsdogs.train.stage; print([name for name in ('sklearn', 'pandas') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert answer.stdout.strip() == "[]"
