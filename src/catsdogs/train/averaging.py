"""The average of the weights over the last steps, which answers better than the last weights (Polyak 1992)."""

import copy

import torch

from catsdogs.nets.network import Network

FIRST_STEPS = 10  # at first the average follows quickly, or it would remember the untrained weights


class Average:
    """Holds a network whose weights and normalisation statistics trail those of the one that is trained."""

    def __init__(self, network: Network, kept: float) -> None:
        """`kept` is the share of the average that a step leaves, 0 to 1; 0 follows the network exactly."""
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.kept = kept

    @torch.no_grad()
    def update(self, trained: Network, step: int) -> None:
        """Move towards the trained weights; `step` counts from 1."""
        moved = 1 - min(self.kept, step / (step + FIRST_STEPS)) if self.kept else 1.0
        for mine, theirs in zip(self.network.state_dict().values(), trained.state_dict().values(), strict=True):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs, moved)
            else:
                mine.copy_(theirs)
