"""Initial weights that fit the photos."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from catsdogs.errors import CatsdogsError
from catsdogs.log import progress
from catsdogs.nets import probe
from catsdogs.nets.fast import Fast
from catsdogs.nets.plain import Plain
from catsdogs.nets.pretrained import Pretrained
from catsdogs.packed import Packed
from catsdogs.train import sight
from catsdogs.train.device import Device
from catsdogs.train.processes import ALONE, Processes

PHOTOS = 128  # of up to 224 px; of larger ones as many as have so many pixels
FEWEST = 4
"""Photos that tell how features differ from photo to photo. At 2,048 px the first layer of `baseline` makes 0.5 GB of
each: 26 photos at once took 21 GB, and the system ended the process."""
FLOOR = 0.01
"""Added to the variance along each direction of patches, or faint ones, which are noise, would be blown up."""


HEAD_STRENGTH = 0.003  # of its regression; 0.001 and 0.0003: log-loss 0.060 and 0.076 instead of 0.054


def fit_head(
    network: Pretrained, photos: Packed, device: Device, most: int, processes: Processes = ALONE
) -> None:
    """Let a backbone's head begin as a regression on what the backbone sees of at most about `most` photos. Processes
    look at a part of them each, and the first one's head is what it becomes.

    A random head would spoil the backbone before it learns (Kumar et al. 2022, Fine-tuning can distort pretrained
    features), and takes thousands of steps to get where this is at once: EfficientNet-Lite0 of 160 px on 12,856 real
    photos, validation accuracy 98.1 % after 40 s on two cores. Raises CatsdogsError for damaged weights.
    """
    norm, linear = network.head.children()
    assert isinstance(linear, nn.Linear)
    if not all(torch.isfinite(tensor).all() for tensor in network.state_dict().values()):
        raise CatsdogsError("The weights of the backbone are damaged: some are no finite numbers.")
    places, parts = probe.spread(photos.labels, most), []
    mine = places[processes.part(len(places))]
    with progress("head", len(mine), unit="images") as bar:
        for part in sight.features(network, photos, mine, device):
            parts.append(part)
            bar.advance(len(part))
    seen = np.concatenate(processes.gathered(parts))

    def fitted() -> None:
        if not np.isfinite(seen).all():
            raise CatsdogsError("The backbone answers photos with what is no number.")
        with torch.inference_mode():
            found = probe.fit(norm.cpu()(torch.from_numpy(seen)).numpy(), photos.labels[places], HEAD_STRENGTH)
            norm.to(device.device)
            linear.weight.copy_(torch.from_numpy(found.weights))
            linear.bias.copy_(torch.from_numpy(found.biases))

    processes.done_by_first(fitted)


def whiten(network: Fast, pixels: torch.Tensor) -> None:
    """Let a fresh network begin with the directions in which patches of photos [n, size, size, 3] differ most.

    Each is scaled to variance 1 and stands there with both signs, because a ReLU follows (Jordan 2024, airbench; after
    Page 2018). The first convolution, which would learn slowest, starts where it would end: on 12,856 real photos at
    64 px, validation 85.6 % instead of 82.7 % after 5 epochs; after 7 and 3 more at 96 px, log-loss 0.178 instead of
    0.211.
    """
    weight = network.stem.weight
    with torch.inference_mode():
        side = weight.shape[-1]
        patches = functional.unfold(network.scaled(pixels), side, stride=side - 1).permute(0, 2, 1).flatten(0, 1)
        patches = patches - patches.mean(dim=0)
        variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))  # from low to high
        most = (directions / (variances + FLOOR).sqrt()).T.flip(0)[:(len(weight) + 1) // 2]
        weight.copy_(torch.cat([most, -most])[:len(weight)].reshape(weight.shape))


def standardise(network: Plain, pixels: torch.Tensor) -> None:
    """Rescale the weights of a fresh network in place, layer by layer, on a batch of uint8 [n, size, size, 3].

    Every layer starts with outputs of mean 0 and variance 1 (Mishkin and Matas 2015, All you need is a good init). The
    networks end in a global average, whose features differ by a hundredth of their size from photo to photo: without
    this the head sees a constant at first. On 6,000 real photos at 64 px, 3 epochs of `baseline` with the default
    settings: 68.7 % instead of 63.9 %. The spread of a unit that answers the same for every photo is left alone.
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
