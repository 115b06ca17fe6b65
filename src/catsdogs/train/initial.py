"""Initial weights that fit the photos: every layer starts with outputs of mean 0 and variance 1.

After Mishkin and Matas 2015, All you need is a good init. The networks end in a global average, whose features
differ by a hundredth of their size from photo to photo: without this the head sees a constant at first. Measured on
6,000 real photos at 64 px, 3 epochs of `baseline` with the default settings: 68.7 % instead of 63.9 %.
"""

import torch
from torch import nn

from catsdogs.nets.plain import Plain

PHOTOS = 128


def standardise(network: Plain, pixels: torch.Tensor) -> None:
    """Rescale the weights of a fresh network in place, layer by layer, on a batch of uint8 [n, size, size, 3].

    The spread of a unit that answers the same for every photo is left alone.
    """
    with torch.inference_mode():
        values = network.scaled(pixels)
        for layer in network.features:
            if isinstance(layer, nn.Conv2d):
                _rescale(layer, layer(values), (0, 2, 3))
            values = layer(values)
        features = values.mean(dim=(2, 3))
        spread = _safe(features.std(dim=0))
        first = network.head[0]
        assert isinstance(first, nn.Linear) and first.bias is not None
        first.weight /= spread
        first.bias.copy_(-(first.weight @ features.mean(dim=0)))


def _rescale(layer: nn.Conv2d, outputs: torch.Tensor, dims: tuple[int, ...]) -> None:
    mean, spread = outputs.mean(dim=dims), _safe(outputs.std(dim=dims))
    assert layer.bias is not None
    layer.weight /= spread[:, None, None, None]
    layer.bias.copy_((layer.bias - mean) / spread)


def _safe(spread: torch.Tensor) -> torch.Tensor:
    return torch.where(spread > 1e-4, spread, torch.ones_like(spread))
