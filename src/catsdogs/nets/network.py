"""What every network is: photos in, logits out, with the scaling of pixels inside."""

from typing import Any

import torch
from torch import nn

MEAN, DEVIATION = 0.45, 0.27  # of natural photos' pixels in [0, 1], to two digits; exactness gains nothing


class Network(nn.Module):
    """Pixels of 0 to 255, uint8 or float [n, size, size, 3] -> logits [n, classes]."""

    description: dict[str, Any]
    """What model.pt has to say beside the variant's name for the network to be built again."""

    def __init__(self) -> None:
        super().__init__()
        self.description = {}

    def forward(self, pixels: torch.Tensor, *, blocked: bool = False) -> torch.Tensor:
        """Logits. `blocked` computes in oneDNN's own layout where the network can (see train/device.py)."""
        raise NotImplementedError

    def scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, size, size, 3] -> float32 [n, 3, size, size], of mean 0 and variance 1 or so.

        NHWC becomes NCHW without a copy: the data stays channels-last, which is 1.3 times faster.
        """
        return pixels.permute(0, 3, 1, 2).to(torch.float32) * (1 / (255 * DEVIATION)) - MEAN / DEVIATION
