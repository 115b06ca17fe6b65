"""Batches straight from the memory map: no decoding, no worker processes, no copy of the data set."""

from collections.abc import Iterator

import numpy as np
import torch

from catsdogs.packed import Packed

Batch = tuple[torch.Tensor, torch.Tensor]  # uint8 [n, size, size, 3], int64 [n]


def training_batches(photos: Packed, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
    """Every photo once, in an order and with flips that depend on `seed` and `epoch` alone.

    Random states are not carried from epoch to epoch, so a resumed run sees what an undisturbed one sees.
    """
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(len(photos.labels))
    for start in range(0, len(order), batch_size):
        places = np.sort(order[start:start + batch_size])  # in the order of the file: neighbours share pages
        pixels = torch.from_numpy(photos.pixels[places])
        flipped = torch.from_numpy(random.random(len(places)) < 0.5)
        pixels[flipped] = pixels[flipped].flip(2)
        yield pixels, torch.from_numpy(photos.labels[places])


def evaluation_batches(photos: Packed, batch_size: int) -> Iterator[Batch]:
    """Every photo once, in the order of the split."""
    for start in range(0, len(photos.labels), batch_size):
        pixels = torch.from_numpy(np.array(photos.pixels[start:start + batch_size]))
        yield pixels, torch.from_numpy(photos.labels[start:start + batch_size])
