"""Muon: momentum, with every update of a matrix made orthogonal (Jordan et al. 2024), for convolutions.

Weights keep the norm sqrt(out) between steps, so that the learning rate alone says how far a step turns them
(Jordan 2024, airbench).
"""

from collections.abc import Iterable
from functools import reduce

import torch

from catsdogs.train.optimiser import Optimiser, remembered

ITERATIONS = 4
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of the Newton-Schulz iteration: brings singular values of 0 to 1 near 1, not exactly to it (Jordan et al. 2024)."""
COARSE_FROM = 96
"""Rows of a matrix from which on a coarser precision is both quicker and near enough."""


class Muon(Optimiser):
    """`precision` is that of the iteration alone, which need not be exact: where the processor has bfloat16 it takes a
    third of the time of what had been a quarter of a step on 64 photos of 64 px."""

    def __init__(
        self, weights: Iterable[torch.Tensor], lr: float, momentum: float = 0.6, precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__([{"params": list(weights), "lr": lr}])
        self.momentum, self.precision = momentum, precision

    def change(self, weights: list[torch.Tensor], memories: list[dict[str, torch.Tensor]], rate: float) -> None:
        for weight, average in zip(weights, remembered(memories, "momentum", weights), strict=True):
            assert weight.grad is not None, "those without one were left out"
            # One weight at a time, which stays in the cache: all at once they would go through memory eight times.
            torch.add(weight.grad, average, alpha=self.momentum, out=average)
            ahead = torch.add(weight.grad, average, alpha=self.momentum)  # Nesterov
            last = weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
            weight.mul_(len(weight) ** 0.5 / weight.norm())
            turn(_matrix(weight, last), _matrix(ahead, last), -rate, self.precision)


def turn(weights: torch.Tensor, matrix: torch.Tensor, by: float, precision: torch.dtype = torch.float32) -> None:
    """Add to the weights, in place, `by` times the nearest matrix with orthonormal rows or columns, roughly: singular
    values of 0.7 to 1.25. In bfloat16 it differs by a tenth from that in float32."""
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if tall else matrix
    wide = wide.to(precision if len(wide) >= COARSE_FROM else torch.float32)
    factor, weights = _factor(wide), weights.T if tall else weights
    if wide.dtype == weights.dtype:
        weights.addmm_(factor, wide, alpha=by)
    else:
        weights.add_(factor @ wide, alpha=by)


def _factor(wide: torch.Tensor) -> torch.Tensor:
    """What a matrix is to be multiplied by to become nearly orthonormal.

    Every step of the iteration multiplies by a polynomial of the Gram matrix, so it runs on that one, which is a ninth
    of the size of a convolution's weights; they are multiplied at the start and at the end only, which halves the time.
    """
    a, b, c = QUINTIC
    gram = wide @ wide.T
    norm = gram.diagonal().sum(dtype=torch.float32).sqrt() + 1e-7
    gram = gram / norm**2
    steps: list[torch.Tensor] = []
    for _ in range(ITERATIONS):
        if steps:
            gram = steps[-1] @ gram @ steps[-1]
        steps.append(torch.addmm(gram, gram, gram, beta=b, alpha=c))
        steps[-1].diagonal().add_(a)
    product: torch.Tensor = reduce(torch.matmul, reversed(steps)) / norm
    return product.to(wide.dtype)


def _matrix(weights: torch.Tensor, channels_last: bool) -> torch.Tensor:
    """[out, ...] -> [out, the rest], in the order in which it lies in memory: of columns, any order does."""
    return (weights.movedim(1, -1) if channels_last else weights).reshape(len(weights), -1)
