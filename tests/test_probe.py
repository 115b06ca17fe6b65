"""The regression on a network's features, beside scikit-learn's own answers."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from catsdogs.nets.probe import AT_ONCE, fit, spread


@pytest.mark.parametrize("classes", [2, 3])
def test_it_answers_like_a_regression_on_standardised_features(classes: int) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, AT_ONCE + 200)
    features = random.normal(size=(len(labels), 20)).astype(np.float32) * 3 + 5
    features[:, :classes] += 4 * np.eye(classes, dtype=np.float32)[labels]
    found = fit(features, labels, 0.01).probabilities(features)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)).fit(features, labels)
    assert found.shape == (len(labels), classes) and found.dtype == np.float32
    assert np.allclose(found, theirs.predict_proba(features), atol=0.002)
    assert (found.argmax(axis=1) == labels).mean() > 0.7


def test_features_that_never_differ_say_nothing() -> None:
    labels = np.arange(40) % 2
    features = np.stack([labels, np.full(40, 7.0)], axis=1).astype(np.float16)
    probe = fit(features, labels, 1.0)
    assert np.isfinite(probe.weights).all() and np.abs(probe.weights[:, 1]).max() < 1e-3
    assert (probe.probabilities(features).argmax(axis=1) == labels).all()


def test_a_few_photos_are_spread_over_every_class() -> None:
    labels = np.array([0] * 90 + [1] * 9 + [2])
    assert (spread(labels, 100) == np.arange(100)).all()
    some = spread(labels, 10)
    assert len(some) <= 12 and (np.diff(some) > 0).all()
    assert np.bincount(labels[some]).tolist() == [9, 1, 1]
    assert set(labels[spread(labels, 0)]) == {0, 1, 2}
