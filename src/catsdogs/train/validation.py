"""A network's answers while it is being trained, by torch on its device. What it is judged by comes from the engine."""

import math
import time
from collections.abc import Callable
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from catsdogs.nets.network import Network, at_once
from catsdogs.packed import Packed
from catsdogs.train.batches import evaluation_batches
from catsdogs.train.device import Device
from catsdogs.train.processes import ALONE, Processes
from catsdogs.train.resident import Pixels


LEARNING = 4.5  # times as long as answering a photo takes learning from it: 3.9 to 5.0 (AVX2, 56 to 192 px)


def answers(
    network: Network, photos: Packed | Pixels, device: Device, processes: Processes = ALONE,
    before_each: Callable[[], None] = lambda: None,
) -> npt.NDArray[np.float32]:
    """Logits, float32 [n, classes], of every photo of a split, in its order; of several processes each answers its
    part, and all get the whole. `before_each` batch is called as often in every one of them, and may raise in all."""
    network.eval()
    parts = []
    side = photos.pixels.shape[1] if isinstance(photos, Packed) else photos.side
    size, total = at_once(side), len(photos.labels)
    batches = evaluation_batches(photos, size, processes.part(total))
    largest = math.ceil(total / processes.count)
    with torch.inference_mode(), device.autocast():
        for batch, _ in zip_longest(batches, range(0, largest, size)):
            before_each()
            if batch is not None:  # others may have a photo more
                parts.append(network(batch[0].to(device.device)).float().cpu().numpy())
    return np.concatenate(processes.gathered(parts))


def seconds_a_photo(network: Network, photos: Packed, device: Device) -> float:
    """How long answering one photo of a split takes, measured on the first four batches; two warm up before.

    From memory: a disk may be slow with what nobody has read yet.
    """
    network.to(device.device)
    batch = at_once(photos.pixels.shape[1])

    pixels = np.array(photos.pixels[:4 * batch])

    def first(count: int) -> Packed:
        return Packed(pixels[:count], photos.labels[:count], photos.rows[:count])

    answers(network, first(2 * batch), device)
    some = first(4 * batch)
    started = time.perf_counter()
    answers(network, some, device)
    return (time.perf_counter() - started) / len(some.labels)


def cross_entropy(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], temperature: float = 1.0) -> float:
    """Mean negative log-likelihood of the labels, after dividing the logits by the temperature.

    In float64: in float32 its rounding led the search for the lowest one 1.2 % astray, of 400 photos.
    """
    exact = torch.from_numpy(logits).double()
    return float(functional.cross_entropy(exact / temperature, torch.from_numpy(labels)))
