"""A linear probe (Alain and Bengio 2017): a regression that tells the labels of photos from a network's features.

What a backbone learned from a million photos of a thousand kinds is enough to tell cats from dogs, so this alone is
the head of a fine-tuned network, a teacher's beliefs, and the doctor's judge of labels.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from catsdogs.nets.pretrained import Pretrained

Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float32]

FIT_ON = 50_000  # photos, at most: beyond some tens of thousands a linear map learns little
FLOOR = 1e-3  # of a feature's deviation: one that never differs says nothing
AT_ONCE = 1024  # photos whose features are widened to float32 at a time


class Probe(NamedTuple):
    weights: Values  # [classes, width]
    biases: Values  # [classes]

    def probabilities(self, features: npt.NDArray[np.floating]) -> Values:
        """float32 [n, classes] for features [n, width]."""
        parts = [self._answer(features[start:start + AT_ONCE]) for start in range(0, len(features), AT_ONCE)]
        return np.concatenate(parts)

    def _answer(self, features: npt.NDArray[np.floating]) -> Values:
        logits = features.astype(np.float32) @ self.weights.T + self.biases
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        answer: Values = odds / odds.sum(axis=1, keepdims=True)
        return answer


def fit(features: npt.NDArray[np.floating], labels: Numbers, strength: float) -> Probe:
    """Logistic regression on features [n, width], labels [n] of 0 to classes - 1 that all occur.

    `strength` is the inverse of the regularisation of the weights of standardised features. Raises ValueError where a
    feature is no number.
    """
    from sklearn.linear_model import LogisticRegression

    values = features.astype(np.float32)  # a copy, which the next lines change in place: it may be large
    mean = values.mean(axis=0, dtype=np.float64)
    deviation = values.std(axis=0, dtype=np.float64) + FLOOR
    values -= mean.astype(np.float32)
    values /= deviation.astype(np.float32)
    found = LogisticRegression(C=strength, max_iter=1000).fit(values, labels)
    weights, biases = found.coef_, found.intercept_
    if len(weights) == 1:  # two classes: it holds the difference of their logits
        weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
    weights = weights / deviation
    return Probe(weights.astype(np.float32), (biases - weights @ mean).astype(np.float32))


def spread(labels: Numbers, most: int) -> Numbers:
    """Places of at most about `most` labels, ascending, evenly spread over each class; of every class at least one."""
    step = max(1, -(-len(labels) // max(1, most)))
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[::step] for label in np.unique(labels)]))


@torch.inference_mode()
def features(network: Pretrained, photos: torch.Tensor) -> Values:
    """What the network's head would see of photos uint8 [n, side, side, 3] on its device: float32 [n, width]."""
    seen: Values = network.pooled(network.maps(photos)).float().cpu().numpy()
    return seen
