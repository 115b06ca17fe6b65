"""How far a photo is from those of the training: its distance by statistics of its pixels, and by the features.

The first tells charts, text, noise and blank pages; the second what looks like a photo and shows something else. The
second is part of the ONNX file, the first of the model card.

A network that was trained before to tell a thousand kinds of things apart still knows them: a photo that it takes for
one that hardly any photo of the training was taken for shows something else. With EfficientNet-Lite0, fine-tuned for
five minutes, 77 % of photographs of other animals and 76 % of cut-outs are told so, and 1.6 % of 1,535 test photos.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from catsdogs.answering import Answering
from catsdogs.artifacts import Familiarity, Usual
from catsdogs.mahalanobis import Classes
from catsdogs.nets.network import Kinds, Network
from catsdogs.packed import Packed
from catsdogs.statistics import statistics

METHOD = "Mahalanobis distances over pixel statistics and over features; 1 is the limit of either"
METHOD_BY_KINDS = ("Mahalanobis distance over pixel statistics, and how unlikely are the backbone's own kinds that "
                   "training showed; 1 is the limit of either")
PASS = 0.9975
"""Share of the validation photos that the distance of pixels lets pass, and that of features: together about 99.5 %."""

FIT_ON = 1500
"""Photos of either split, at most: more moved no limit by more than its own uncertainty."""

MIN_TRAIN, MIN_VALIDATION = 40, 20
"""With fewer photos no distance is usual or unusual."""

LIMIT = 1.0

KNOWN = 0.002
"""Mean probability of a kind over photos of the training from which on it is wholly known; of a thousand kinds. One
with a third of that is known by a ninth."""

PASS_BY_KINDS = 0.99
"""Share of the validation photos whose kinds pass, where those tell other animals so much better than features do: at
0.9975 a tenth fewer of them would be told."""

LEAST_KNOWN = 1e-9  # of which the logarithm is taken

LEAST_LIMIT = 0.05
"""-log of 95 %: however alike the photos are, one that shows so surely what is known is usual."""


class Distance(nn.Module):
    """Features [n, width] -> distance [n], from its limit on unusual."""


class ByFeatures(Distance):
    """That of the features from those of the training."""

    centre: torch.Tensor
    whitening: torch.Tensor
    means: torch.Tensor

    def __init__(self, usual: Classes) -> None:
        super().__init__()
        self.limit = usual.limit
        for name in ("centre", "whitening", "means"):
            self.register_buffer(name, torch.from_numpy(getattr(usual, name)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        gaps = ((logarithms(features) - self.centre) @ self.whitening)[:, None] - self.means
        return (gaps * gaps).sum(2).amin(1).sqrt() / self.limit


class ByKinds(Distance):
    """-log of how well the kind that the photo shows is known from the training, to be expected of it."""

    known: torch.Tensor  # logarithms

    def __init__(self, kinds: Kinds, known: npt.NDArray[np.float32], limit: float = 1.0) -> None:
        """`known`, [kinds], is more than 0 and up to 1 for what is wholly known."""
        super().__init__()
        self.kinds, self.limit = kinds, limit
        self.register_buffer("known", torch.from_numpy(np.log(known)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        logits = self.kinds(features)
        return (torch.logsumexp(logits, 1) - torch.logsumexp(logits + self.known, 1)) / self.limit


def logarithms(features: torch.Tensor) -> torch.Tensor:
    """So that too weak features are as odd as too strong ones."""
    return torch.log(features.clamp_min(0) + 0.05)


def enough(train: Packed, validation: Packed) -> bool:
    """Whether these are photos enough to tell what is usual."""
    return len(train.labels) >= MIN_TRAIN and len(validation.labels) >= MIN_VALIDATION


def fit_familiarity(
    network: Network, answering: Answering, train: Packed, validation: Packed
) -> tuple[Distance, Familiarity]:
    """Learn what is usual from training photos, and how far it reaches from validation ones, of which are `enough`."""
    (of_pixels, of_network, labels), (pixels_apart, network_apart, _) = (
        _described(answering, split) for split in (train, validation))
    by_pixels = Classes.fit(of_pixels, labels).limited(pixels_apart, PASS)
    distance: Distance
    if network.kinds is None:
        usual_features = Classes.fit(_logarithms(of_network), labels).limited(_logarithms(network_apart), PASS)
        distance = ByFeatures(usual_features)
    else:
        distance = _by_kinds(network.kinds, of_network, network_apart)
    apart = np.maximum(by_pixels.distance(pixels_apart), _distances(distance, network_apart))
    usual = Usual(centre=by_pixels.centre.tolist(), whitening=by_pixels.whitening.tolist(),
                  means=by_pixels.means.tolist(), limit=by_pixels.limit)
    return distance, Familiarity(
        method=METHOD if network.kinds is None else METHOD_BY_KINDS, fitted_on=len(labels), threshold=LIMIT,
        validation_share=float((apart <= LIMIT).mean()), statistics=usual)


Described = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]


def _described(answering: Answering, split: Packed) -> Described:
    """Statistics, features and labels of up to FIT_ON photos, evenly over the split: its rows are sorted by class."""
    places = np.unique(np.linspace(0, len(split.labels) - 1, FIT_ON).astype(int))
    of_pixels = np.concatenate([statistics(np.array(split.pixels[place:place + 1])) for place in places])
    return of_pixels, answering.about(split.pixels, places).features, split.labels[places]


def _by_kinds(kinds: Kinds, usual: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> ByKinds:
    with torch.inference_mode():
        shown = torch.softmax(kinds(torch.from_numpy(usual)), 1).mean(0).numpy()
    known = np.clip((shown / KNOWN) ** 2, LEAST_KNOWN, 1).astype(np.float32)
    limit = float(np.quantile(_distances(ByKinds(kinds, known), others), PASS_BY_KINDS))
    return ByKinds(kinds, known, max(limit, LEAST_LIMIT))


def _distances(distance: Distance, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        found: npt.NDArray[np.float32] = distance(torch.from_numpy(features)).numpy()
    return found


def _logarithms(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return logarithms(torch.from_numpy(features)).numpy()
