"""How each variant is trained: what `--epochs`, `--batch-size` and `--learning-rate` leave open."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from catsdogs.nets.network import Network
from catsdogs.nets.pretrained import PREFIX, Pretrained
from catsdogs.train.augment import Augmentation
from catsdogs.train.muon import Muon
from catsdogs.train.optimiser import Adam, Optimiser


@dataclass(frozen=True)
class Phase:
    """Until this share of the training is done, photos are of this share of their packed side.

    A crop shows an animal larger than the whole photo does, so a network that was trained on crops answers best at a
    larger side than it was trained at (Touvron et al. 2019): `fast` at 4/3 of it.
    """

    until: float
    scale: float


@dataclass(frozen=True, kw_only=True)
class Recipe:
    muon: float | None = None
    """Muon's learning rate, as a multiple of --learning-rate; None trains everything with Adam."""
    warm_up: float = 0.0
    """Share of the training in which the learning rate rises from 0."""
    decay: Literal["cosine", "linear"] = "cosine"
    label_smoothing: float = 0.0
    averaging: float = 0.0
    """Share of the average of weights that each step keeps; 0 takes the last weights as they are."""
    augmentation: Augmentation | None = None
    """None mirrors photos and leaves them alone otherwise."""
    phases: tuple[Phase, ...] = (Phase(1, 1),)
    initial: Literal["random", "standardised", "whitened"] = "random"
    """How the first weights are fitted to the photos (initial.py); networks without normalisation need it."""
    backbone: tuple[float, float] = (0.01, 0.1)
    """Of a backbone's first layer, and of its last one and the head: multiples of --learning-rate; a power law lies
    between. They are low because the head is fitted before (initial.py): from there on little has to change."""

    def rate(self, done: float) -> float:
        """Share of the learning rate at a share of the training, 0 to 1."""
        if done < self.warm_up:
            return max(done, 1e-3) / self.warm_up
        left = (1 - done) / (1 - self.warm_up)
        return max(0.0, left if self.decay == "linear" else 0.5 * (1 - math.cos(math.pi * left)))

    def side(self, done: float, packed: int, smallest: int) -> int:
        """Side of the photos at a share of the training: a multiple of 8, at most the packed side."""
        scale = next((phase.scale for phase in self.phases if done < phase.until), self.phases[-1].scale)
        if scale == 1:
            return packed
        return min(packed, max(smallest, 8 * round(packed * scale / 8)))

    def optimisers(
        self, network: Network, learning_rate: float, precision: torch.dtype = torch.float32
    ) -> list[Optimiser]:
        if isinstance(network, Pretrained):
            return [Adam(self._layer_wise(network, learning_rate), weight_decay=0.01)]
        if self.muon is None:
            return [Adam([{"params": list(network.parameters()), "lr": learning_rate}])]
        matrices = list(_inner_convolutions(network))
        taken = {id(weight) for weight in matrices}
        others = [weight for weight in network.parameters() if id(weight) not in taken]
        return [
            Muon(matrices, lr=learning_rate * self.muon, precision=precision),
            adam(others, learning_rate),
        ]

    def _layer_wise(self, network: Pretrained, learning_rate: float) -> list[dict[str, Any]]:
        """Lower rates for layers nearer to the photo, whose features serve any task (Howard and Ruder 2018)."""
        weights = list(network.backbone.parameters())
        low, high = self.backbone
        return [{"params": list(network.head.parameters()), "lr": learning_rate * high}, *(
            {"params": [weight], "lr": learning_rate * low * (high / low) ** (number / max(1, len(weights) - 1))}
            for number, weight in enumerate(weights)
        )]


def adam(weights: Iterable[torch.Tensor], learning_rate: float) -> Adam:
    """For what stands beside Muon."""
    return Adam([{"params": list(weights), "lr": learning_rate}], betas=(0.9, 0.99))


def _inner_convolutions(network: Network) -> Iterable[torch.Tensor]:
    """Weights of every convolution but the first, which sees pixels and gains nothing from Muon."""
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    return (convolution.weight for convolution in convolutions[1:])


GENTLE = Augmentation(smallest_area=0.7)
"""For a network that has seen animals at any size. Half an epoch of half the layers at 160 px, validation log-loss:
0.053 before, 0.050 with crops from 0.35 on, 0.046 mirrored only, which in a longer training would be learned by heart.
"""

RECIPES = {
    "baseline": Recipe(initial="standardised"),
    "wider": Recipe(initial="standardised"),
    "fast": Recipe(
        muon=40, warm_up=0.15, decay="linear", label_smoothing=0.1, averaging=0.995, augmentation=Augmentation(),
        phases=(Phase(0.55, 1 / 2), Phase(1, 3 / 4)), initial="whitened",
    ),
    PREFIX: Recipe(
        warm_up=0.1, decay="linear", averaging=0.99, augmentation=GENTLE,
    ),
}


def recipe_for(variant: str) -> Recipe:
    return RECIPES[PREFIX if variant.startswith(PREFIX) else variant]
