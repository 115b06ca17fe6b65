"""What every network is: photos in, logits out, with the scaling of pixels inside."""

from typing import Any, Self

import torch
from torch import nn

MEAN, DEVIATION = 0.45, 0.27  # of natural photos' pixels in [0, 1], to two digits; exactness gains nothing


def at_once(side: int, most: int = 32) -> int:
    """Photos to answer at a time: `most` of up to 224 px, of larger ones as many as have so many pixels.

    32 of 2,048 px would take 17 GB in the first layer of `baseline` alone.
    """
    return max(1, min(most, most * 224**2 // side**2))


class Kinds(nn.Module):
    """What a backbone was trained to tell apart: features [n, width] -> logits [n, kinds]. Not trained further.

    Its weights are 8-bit integers, in the file and in memory: a photo's thousand sums over 1,280 features take as long
    as reading them.
    """

    levels: torch.Tensor  # int8 [kinds, width]
    steps: torch.Tensor  # float32 [kinds, 1], of the levels
    bias: torch.Tensor

    def __init__(self, kinds: int, width: int) -> None:
        """Without weights."""
        super().__init__()
        self.register_buffer("levels", torch.zeros(kinds, width, dtype=torch.int8))
        self.register_buffer("steps", torch.ones(kinds, 1))
        self.register_buffer("bias", torch.zeros(kinds))

    def take(self, weight: torch.Tensor, bias: torch.Tensor) -> Self:
        """Weights in floats, [kinds, width]."""
        steps = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127
        self.levels.copy_((weight / steps).round())
        self.steps.copy_(steps)
        self.bias.copy_(bias)
        return self

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.matmul(features, (self.levels.to(torch.float32) * self.steps).t()) + self.bias


class Network(nn.Module):
    """Pixels of 0 to 255, uint8 or float [n, size, size, 3] -> logits [n, classes], by way of maps and features."""

    head: nn.Module  # features -> logits

    kinds: Kinds | None  # of the photos that the network was trained on before, where that is known

    description: dict[str, Any]
    """What model.pt has to say beside the variant's name for the network to be built again."""

    def __init__(self) -> None:
        super().__init__()
        self.description, self.kinds = {}, None

    def describe(self, description: dict[str, Any]) -> None:
        """Become what is described. Raises ValueError for what makes no sense."""
        self.description = description

    @property
    def reduction(self) -> int:
        """By how much a photo is made smaller before it is looked at; photos to train on are that small already."""
        return 1

    def forward(self, pixels: torch.Tensor, *, blocked: bool = False) -> torch.Tensor:
        """Logits. `blocked` computes in oneDNN's own layout where the network can (see train/device.py)."""
        logits: torch.Tensor = self.head(self.pooled(self.maps(pixels, blocked=blocked)))
        return logits

    def maps(self, pixels: torch.Tensor, *, blocked: bool = False) -> torch.Tensor:
        """The last feature maps, [n, channels, height, width]."""
        raise NotImplementedError

    def pooled(self, maps: torch.Tensor) -> torch.Tensor:
        """What the head sees of the maps, [n, features]."""
        raise NotImplementedError

    def evidence(self, maps: torch.Tensor) -> torch.Tensor:
        """How much each place of the maps adds to each logit, [n, classes, height, width].

        Class activation mapping (Zhou et al. 2016), exact: the places sum to the logit less a part that no place
        causes (the biases).
        """
        raise NotImplementedError

    def scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, size, size, 3] -> float32 [n, 3, size, size], of mean 0 and variance 1 or so.

        NHWC becomes NCHW without a copy: the data stays channels-last, which is 1.3 times faster.
        """
        return pixels.permute(0, 3, 1, 2).to(torch.float32) * (1 / (255 * DEVIATION)) - MEAN / DEVIATION
