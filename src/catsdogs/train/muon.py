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
        gradients = [weight.grad for weight in weights if weight.grad is not None]  # every one: others were left out
        averages = remembered(memories, "momentum", weights)
        torch._foreach_mul_(averages, self.momentum)
        torch._foreach_add_(averages, gradients)
        ahead = torch._foreach_add(gradients, averages, alpha=self.momentum)  # Nesterov
        for weight, direction, norm in zip(weights, ahead, torch._foreach_norm(weights), strict=True):
            turned = orthogonal(_matrix(direction), self.precision)
            weight.mul_(len(weight) ** 0.5 / norm).add_(_like(turned, weight), alpha=-rate)


def orthogonal(matrix: torch.Tensor, precision: torch.dtype = torch.float32) -> torch.Tensor:
    """The nearest matrix with orthonormal rows or columns, roughly: singular values of 0.7 to 1.25.

    Every step of the iteration multiplies by a polynomial of the Gram matrix, so it runs on that one, which is a ninth
    of the size of a convolution's weights; they are multiplied at the start and at the end only, which halves the time.
    In bfloat16 the result differs by a tenth from that in float32.
    """
    a, b, c = QUINTIC
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide.to(precision if len(wide) >= COARSE_FROM else torch.float32)
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
    result: torch.Tensor = (product.to(wide.dtype) @ wide).to(matrix.dtype)
    return result if matrix.shape[0] <= matrix.shape[1] else result.T


def _matrix(weights: torch.Tensor) -> torch.Tensor:
    """[out, ...] -> [out, the rest], in the order in which channels-last has it in memory, so that nothing is moved:
    the order of columns changes nothing but the order of the result's."""
    return weights.movedim(1, -1).reshape(len(weights), -1)


def _like(matrix: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The way back."""
    return matrix.reshape(weights.movedim(1, -1).shape).movedim(-1, 1)
