"""Distance to the nearest of several classes that share one covariance (Lee et al. 2018)."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

SHRINKAGE = 0.05
"""Added to every variance of the standardised values; of 0.01, 0.05 and 0.3 none was best for everything."""

LEAST_SPREAD = 0.05
"""Values are logarithms or shares: one that never varied in training may differ by so much and be nothing special."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Classes:
    """What is usual. `limit` divides every distance, so that 1 is the largest usual one."""

    centre: Array  # [values]
    whitening: Array  # [values, values]
    means: Array  # [classes, values], whitened
    limit: float = 1.0

    @classmethod
    def fit(cls, values: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> Self:
        """From values [n, k] of photos and their labels [n]."""
        values = values.astype(np.float64)
        centre, spread = values.mean(0), np.maximum(values.std(0), LEAST_SPREAD)
        scaled = (values - centre) / spread
        present, numbers = np.unique(labels, return_inverse=True)
        means = np.stack([scaled[labels == label].mean(0) for label in present])
        within = scaled - means[numbers]
        variances, directions = np.linalg.eigh(within.T @ within / len(within))
        whitening = directions / np.sqrt(variances.clip(min=0) + SHRINKAGE)
        return cls(centre.astype(np.float32), (whitening / spread[:, None]).astype(np.float32),
                   (means @ whitening).astype(np.float32))

    def limited(self, values: Array, share: float) -> Self:
        """The limit that this share of values [n, k] of other photos keep to."""
        return replace(self, limit=max(self.limit * float(np.quantile(self.distance(values), share)), 1e-6))

    def distance(self, values: Array) -> Array:
        """[n, k] -> [n]."""
        gaps = ((values - self.centre) @ self.whitening)[:, None] - self.means
        apart: Array = np.sqrt((gaps * gaps).sum(2).min(1)) / np.float32(self.limit)
        return apart
