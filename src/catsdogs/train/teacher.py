"""A teacher: a pretrained network, and what is learned from it beside the labels.

Its features of each training photo are hints (Romero et al. 2015, FitNets), compared by direction alone: a label says
one bit of a photo, these a thousand numbers, which tell kinds of fur from kinds of grass. Its beliefs are a regression
on them (Hinton et al. 2015, Distilling the knowledge): of a photo that shows little of a cat they say so. `fast` on
12,856 real photos, 4.5 epochs at 64 px and 2.5 at 96, accuracy and log-loss of validation photos at 128 px: 92.5 % and
0.173 without, 94.4 % and 0.135 with hints, 95.3 % and 0.116 with both. The teacher is asked once, which takes 13 s.
"""

import tempfile
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from catsdogs.errors import CatsdogsError
from catsdogs.files import allocate, sha256
from catsdogs.log import progress
from catsdogs.nets import probe
from catsdogs.nets.network import Network
from catsdogs.nets.pretrained import from_hub, takes_photos_of
from catsdogs.packed import Packed
from catsdogs.train import sight
from catsdogs.train.device import Device

HINTS, BELIEFS = 4.0, 0.8
"""Weight of the hints beside the label's loss; share of that loss that the beliefs take over."""
STRENGTH = 0.001  # of the regression, as in doctor/backbone.py
PART = 1024  # photos whose features are looked at at a time


class Lesson(NamedTuple):
    """Of some photos."""

    hints: torch.Tensor  # float32 [n, width]
    beliefs: torch.Tensor  # float32 [n, classes], adding up to 1

    def part(self, places: slice, device: torch.device) -> "Lesson":
        return Lesson(self.hints[places].to(device), self.beliefs[places].to(device))

    def loss(self, on_labels: torch.Tensor, logits: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """The sum over the photos of all that is learned: `on_labels` is such a sum, `told` [n, width] the pupil's."""
        on_beliefs = functional.cross_entropy(logits, self.beliefs, reduction="sum")
        return (1 - BELIEFS) * on_labels + BELIEFS * on_beliefs + HINTS * distance(told, self.hints)


@dataclass(frozen=True)
class Teacher:
    """What was seen in every photo of a split, in its order."""

    features: npt.NDArray[np.float16]  # [n, width]; each of mean 0 and variance 1 over the photos
    beliefs: npt.NDArray[np.float32]  # [n, classes], probabilities

    @property
    def width(self) -> int:
        return int(self.features.shape[1])

    @property
    def digest(self) -> str:
        """Hex digest of what it thinks of the photos: of one that has changed it differs."""
        return sha256(self.beliefs.tobytes())

    def lesson(self, places: npt.NDArray[np.int64]) -> Lesson:
        hints = torch.from_numpy(self.features[places].astype(np.float32))
        return Lesson(hints, torch.from_numpy(self.beliefs[places]))


def ask(name: str, photos: Packed, device: Device) -> Teacher:
    """Show every photo to the backbone of this name. Raises CatsdogsError where there is none, it takes photos of
    another size, or it is damaged."""
    network = from_hub(name, 2)
    takes_photos_of(network, photos.pixels.shape[1])
    count, done = len(photos.labels), 0
    seen: npt.NDArray[np.float16] | None = None
    with progress("teacher", count, unit="images") as bar:
        for features in sight.features(network, photos, np.arange(count), device):
            if seen is None:
                seen = _room(count, features.shape[1])
            seen[done:done + len(features)] = features
            done += len(features)
            bar.advance(len(features))
    assert seen is not None
    if not all(np.isfinite(seen[start:start + PART]).all() for start in range(0, count, PART)):
        raise CatsdogsError(f"The teacher {name} answers photos with what is no number: name another one.")
    _standardise(seen)
    return Teacher(seen, _beliefs(seen, photos.labels))


def _beliefs(features: npt.NDArray[np.float16], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Of a regression on the features of some of the photos, for all of them, [n, classes]."""
    some = probe.spread(labels, probe.FIT_ON)
    return probe.fit(features[some], labels[some], STRENGTH).probabilities(features)


def pupil(network: Network, teacher: Teacher, side: int) -> nn.Linear:
    """A layer that turns the network's own features of photos of this side into hints; it is trained along and then
    left behind."""
    with torch.inference_mode():
        blank = torch.zeros(1, side, side, 3, dtype=torch.uint8)
        training, width = network.training, network.eval().pooled(network.maps(blank)).shape[1]
    network.train(training)
    return nn.Linear(width, teacher.width)


def distance(told: torch.Tensor, hints: torch.Tensor) -> torch.Tensor:
    """1 - cosine of what is told and the hints, [n, width] each, summed over the photos."""
    return (1 - functional.cosine_similarity(told.float(), hints, dim=1)).sum()


def _room(count: int, width: int) -> npt.NDArray[np.float16]:
    """In a file that is never seen, so that it may be larger than memory; the system keeps what it has room for.

    Raises OSError, which names the folder, where the disk has no room.
    """
    with tempfile.TemporaryFile(prefix="catsdogs-") as file:
        try:
            allocate(file, count * width * np.dtype(np.float16).itemsize)
        except OSError as error:
            error.filename = tempfile.gettempdir()  # the file has no name
            raise
        return np.memmap(file, np.float16, "r+", shape=(count, width))


def _standardise(features: npt.NDArray[np.float16]) -> None:
    """In place, a part at a time."""
    parts = [slice(start, start + PART) for start in range(0, len(features), PART)]
    mean = sum(features[part].astype(np.float64).sum(axis=0) for part in parts) / len(features)
    squares = sum(((features[part] - mean) ** 2).sum(axis=0) for part in parts) / len(features)
    for part in parts:
        features[part] = (features[part] - mean) / (np.sqrt(squares) + probe.FLOOR)
