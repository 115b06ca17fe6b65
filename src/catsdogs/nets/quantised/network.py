"""A trained network in whole steps: what answers in its place."""

import math
from typing import Any

import torch

from catsdogs.artifacts import Arithmetic
from catsdogs.nets.network import Network
from catsdogs.nets.quantised.layers import Rounded

STEPS = "activation_steps"


class Quantised(Network):
    """A trained network with what goes into every convolution rounded to levels.

    Only for answering; computes in float32, whatever autocast says. Its head and what it makes of the maps are the
    original's.
    """

    arithmetic: Arithmetic = "int8"

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.original = (network,)  # in a tuple: no part of this one
        self.head, self.kinds = network.head, network.kinds

    def take(self, description: dict[str, Any]) -> None:
        """What photos have decided, of a network's description. Raises ValueError where it does not fit."""
        self.take_steps(description[STEPS])

    def take_steps(self, steps: Any) -> None:
        """Raises ValueError for steps that are not one positive number an activation."""
        rounded = self.activations()
        if len(steps) != len(rounded) or not all(math.isfinite(step) and step > 0 for step in steps):
            raise ValueError(f"{STEPS} holds no {len(rounded)} positive numbers")
        for activation, step in zip(rounded, steps, strict=True):
            activation.step = float(step)

    def steps(self) -> list[float]:
        return [activation.step for activation in self.activations()]

    def activations(self) -> list[Rounded]:
        return [module for module in self.modules() if isinstance(module, Rounded)]

    def maps(self, pixels: torch.Tensor, *, blocked: bool = False) -> torch.Tensor:
        with torch.autocast(pixels.device.type, enabled=False):
            return self.rounded_maps(pixels)

    def rounded_maps(self, pixels: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def pooled(self, maps: torch.Tensor) -> torch.Tensor:
        return self.original[0].pooled(maps)

    def evidence(self, maps: torch.Tensor) -> torch.Tensor:
        return self.original[0].evidence(maps)
