"""Muon: momentum, with every update of a matrix made orthogonal (Jordan et al. 2024), for convolutions.

Weights keep the norm sqrt(out) between steps, so that the learning rate alone says how far a step turns them
(Jordan 2024, airbench).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch

from catsdogs.train.optimiser import Optimiser, remembered

QUINTICS = ((7.8977, -22.849, 16.8329), (3.4068, -2.5541, 0.5175), (2.383, -1.7419, 0.4267))
"""One after another, a x + b x^3 + c x^5 bring singular values of 0.015 to 1 to 0.84 to 1.16. Each is the one that
brings the range that it is given nearest to 1 (Amsel et al. 2025, Polar Express); Jordan's one needs a fourth time."""
BLOCK = 96
"""Rows or columns that are made orthogonal to each other, the shorter side of a matrix: all 192 of the largest take
nearly twice as long, and as much is learned (Khaled et al. 2025, MuonBP, who come back to the whole now and then)."""
COARSE_FROM = 96
"""Rows of a whole matrix from which on a coarser precision is both quicker and near enough."""


class Muon(Optimiser):
    """`precision` is that in which large matrices are multiplied, before the iteration and after it: where the
    processor has bfloat16 that takes a third of the time, and is exact enough."""

    def __init__(
        self, weights: Iterable[torch.Tensor], lr: float, momentum: float = 0.6, precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__([{"params": list(weights), "lr": lr}])
        self.momentum, self.precision = momentum, precision

    def change(self, weights: list[torch.Tensor], memories: list[dict[str, torch.Tensor]], rate: float) -> None:
        """Gradients are used up."""
        parts = []
        for weight, average in zip(weights, remembered(memories, "momentum", weights), strict=True):
            assert weight.grad is not None, "those without one were left out"
            torch.add(weight.grad, average, alpha=self.momentum, out=average)
            ahead = weight.grad.add_(average, alpha=self.momentum)  # Nesterov
            weight.mul_(len(weight) ** 0.5 / weight.norm())
            last = weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
            parts.append((_matrix(weight, last), _matrix(ahead, last)))
        turn(parts, -rate, self.precision)


def turn(parts: Iterable[tuple[torch.Tensor, torch.Tensor]], by: float, precision: torch.dtype = torch.float32) -> None:
    """Add to the weights of each pair, in place, `by` times the nearest matrix to its other one whose blocks have
    orthonormal rows or columns, roughly: singular values of 0.84 to 1.16. In bfloat16 it differs by a tenth from that
    in float32, and by a quarter where the matrix is nearly of rank one."""
    alike = defaultdict(list)
    for weights, matrix in parts:
        tall = matrix.shape[0] > matrix.shape[1]
        weights, wide = (weights.T, matrix.T) if tall else (weights, matrix)
        wide = wide.to(precision if len(wide) >= COARSE_FROM else torch.float32)
        blocks = math.ceil(len(wide) / BLOCK)
        for pair in zip(weights.tensor_split(blocks), wide.tensor_split(blocks), strict=True):
            alike[len(pair[1]), pair[1].dtype].append(pair)
    for pairs in alike.values():  # together: one after another they take a fifth longer
        for (weights, wide), factor in zip(pairs, _factors([wide for _, wide in pairs]), strict=True):
            if wide.dtype == weights.dtype:
                weights.addmm_(factor, wide, alpha=by)
            else:
                weights.add_(factor @ wide, alpha=by)


def _factors(matrices: Sequence[torch.Tensor]) -> torch.Tensor:
    """What matrices of as many rows are to be multiplied by to become nearly orthonormal: [matrices, rows, rows].

    Every step of the iteration multiplies by a polynomial of the Gram matrix, so it runs on that one, which is a ninth
    of the size of a convolution's weights; they are multiplied at the start and at the end only, which halves the time.
    """
    gram = torch.stack([wide @ wide.T for wide in matrices]).float()  # the polynomials rise by 600 to 1 at a value of 1
    norm = gram.diagonal(dim1=1, dim2=2).sum(1).sqrt()[:, None, None] + 1e-7
    gram = gram / norm**2
    factor = step = _polynomial(gram, *QUINTICS[0])
    for quintic in QUINTICS[1:]:
        gram = step @ gram @ step
        step = _polynomial(gram, *quintic)
        factor = step @ factor
    return (factor / norm).to(matrices[0].dtype)


def _polynomial(gram: torch.Tensor, a: float, b: float, c: float) -> torch.Tensor:
    """a + b G + c G^2"""
    step = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    step.diagonal(dim1=1, dim2=2).add_(a)
    return step


def _matrix(weights: torch.Tensor, channels_last: bool) -> torch.Tensor:
    """[out, ...] -> [out, the rest], in the order in which it lies in memory: of columns of a block, any order does."""
    return (weights.movedim(1, -1) if channels_last else weights).reshape(len(weights), -1)
