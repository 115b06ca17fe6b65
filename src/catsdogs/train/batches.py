"""Batches straight from the memory map (or the GPU's copy of it): no decoding, no worker processes.

What a batch holds depends on the seed, the epoch and its number alone, so that a run that goes on in the middle of an
epoch sees what an undisturbed one sees.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from catsdogs.packed import Packed
from catsdogs.train.augment import Augmentation, augmented, mirrored
from catsdogs.train.processes import ALONE, Processes
from catsdogs.train.resident import Pixels

CPU = torch.device("cpu")
Batch = tuple[torch.Tensor, torch.Tensor]  # pixels [n, size, size, 3] of 0 to 255, int64 [n]


class TrainingBatches:
    """Every photo once an epoch, in an order and with changes of that epoch's own."""

    def __init__(
        self, photos: Packed, batch_size: int, seed: int, augmentation: Augmentation | None = None,
        processes: Processes = ALONE, device: torch.device = CPU,
    ) -> None:
        self.pixels = Pixels(photos, device)
        self.photos, self.batch_size, self.seed, self.augmentation = photos, batch_size, seed, augmentation
        self.processes = processes
        self._order: tuple[int, npt.NDArray[np.int64]] = (-1, np.zeros(0, dtype=np.int64))

    def __len__(self) -> int:
        return math.ceil(len(self.photos.labels) / self.batch_size)

    def count(self, number: int) -> int:
        """Photos in batch `number` (from 0) of an epoch, over all processes."""
        return min(self.batch_size, len(self.photos.labels) - number * self.batch_size)

    def get(self, epoch: int, number: int, side: int) -> Batch:
        """This process's part of batch `number` (from 0) of an epoch (from 1).

        The photos are of `side` pixels where they are augmented, and of the packed side otherwise.
        """
        total = self.count(number)
        part, places = self.processes.part(total), self.places(epoch, number)
        pixels, labels = self.pixels.take(places), torch.from_numpy(self.photos.labels[places])
        seed = int(np.random.SeedSequence((self.seed, epoch, number)).generate_state(1, np.uint64)[0] >> 1)
        random = torch.Generator().manual_seed(seed)
        if self.augmentation is None:
            return mirrored(pixels, random, part, total), labels
        return augmented(pixels, side, self.augmentation, random, part, total), labels

    def places(self, epoch: int, number: int) -> npt.NDArray[np.int64]:
        """Which photos of the split `get` returns, in its order: as they were drawn.

        In the order of the file, which holds one class after the other, a process's part of a batch was of one class,
        and so was a piece of a step: batch normalisation, which goes by what it sees together, saw cats or dogs.
        Reading takes as long in either order (64 photos of 112 px: 3.2 ms).
        """
        places = self._places(epoch)[number * self.batch_size:(number + 1) * self.batch_size]
        return places[self.processes.part(len(places))]

    def _places(self, epoch: int) -> npt.NDArray[np.int64]:
        if self._order[0] != epoch:
            random = np.random.default_rng((self.seed, epoch))
            self._order = (epoch, random.permutation(len(self.photos.labels)))
        return self._order[1]


def evaluation_batches(photos: Packed | Pixels, batch_size: int, part: slice) -> Iterator[Batch]:
    """Every photo of a part of the split once, in its order."""
    pixels = Pixels(photos, CPU) if isinstance(photos, Packed) else photos
    for start in range(part.start, part.stop, batch_size):
        some = slice(start, min(start + batch_size, part.stop))
        yield pixels.take(some), torch.from_numpy(photos.labels[some])
