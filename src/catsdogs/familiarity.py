"""How far a photo is from those of the training: its distance by statistics of its pixels, and by the features.

The first tells charts, text, noise and blank pages; the second what looks like a photo and shows something else. The
second is part of the ONNX file, the first of the model card.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from catsdogs.artifacts import Familiarity, Usual
from catsdogs.mahalanobis import Classes
from catsdogs.nets.network import Network, at_once
from catsdogs.packed import Packed
from catsdogs.statistics import statistics

METHOD = "Mahalanobis distances over pixel statistics and over features; 1 is the limit of either"
PASS = 0.9975
"""Share of the validation photos that each of the two distances lets pass: together about 99.5 %."""

FIT_ON = 1500
"""Photos of either split, at most: more moved no limit by more than its own uncertainty."""

MIN_TRAIN, MIN_VALIDATION = 40, 20
"""With fewer photos no distance is usual or unusual."""

BATCH = 64
LIMIT = 1.0


class Distance(nn.Module):
    """Maps of the network [n, channels, height, width] -> distance of their features [n]."""

    centre: torch.Tensor
    whitening: torch.Tensor
    means: torch.Tensor

    def __init__(self, network: Network, usual: Classes) -> None:
        super().__init__()
        self.network, self.limit = network, usual.limit
        for name in ("centre", "whitening", "means"):
            self.register_buffer(name, torch.from_numpy(getattr(usual, name)))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        gaps = ((features(self.network, maps) - self.centre) @ self.whitening)[:, None] - self.means
        return (gaps * gaps).sum(2).amin(1).sqrt() / self.limit


def features(network: Network, maps: torch.Tensor) -> torch.Tensor:
    """Pooled features in logarithms, so that too weak ones are as odd as too strong ones."""
    return torch.log(network.pooled(maps).clamp_min(0) + 0.05)


def fit_familiarity(network: Network, train: Packed, validation: Packed) -> tuple[Distance, Familiarity] | None:
    """Learn what is usual from training photos, and how far it reaches from validation ones; None from too few."""
    if len(train.labels) < MIN_TRAIN or len(validation.labels) < MIN_VALIDATION:
        return None
    (of_pixels, of_network, labels), (pixels_apart, network_apart, _) = (
        _described(network, split) for split in (train, validation))
    by_pixels = Classes.fit(of_pixels, labels).limited(pixels_apart, PASS)
    by_features = Classes.fit(of_network, labels).limited(network_apart, PASS)
    apart = np.maximum(by_pixels.distance(pixels_apart), by_features.distance(network_apart))
    usual = Usual(centre=by_pixels.centre.tolist(), whitening=by_pixels.whitening.tolist(),
                  means=by_pixels.means.tolist(), limit=by_pixels.limit)
    return Distance(network, by_features), Familiarity(
        method=METHOD, fitted_on=len(labels), threshold=LIMIT, validation_share=float((apart <= LIMIT).mean()),
        statistics=usual)


Described = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]


def _described(network: Network, split: Packed) -> Described:
    """Statistics, features and labels of up to FIT_ON photos, evenly over the split: its rows are sorted by class."""
    places = np.unique(np.linspace(0, len(split.labels) - 1, FIT_ON).astype(int))
    of_pixels, of_network = [], []
    batch = at_once(split.pixels.shape[1], BATCH)
    for start in range(0, len(places), batch):
        photos = np.array(split.pixels[places[start:start + batch]])
        of_pixels += [statistics(photo) for photo in photos]
        with torch.inference_mode():
            of_network.append(features(network, network.maps(torch.from_numpy(photos))).numpy())
    return np.stack(of_pixels), np.concatenate(of_network), split.labels[places]
