"""Out-of-fold probabilities: what networks that never saw a photo say of it. The one place that chooses the network."""

import copy
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from catsdogs.log import Progress
from catsdogs.machine import cores
from catsdogs.nets import registry
from catsdogs.nets.network import Network

VARIANT = "fast"
BATCH = 64
LEARNING_RATE = 3e-3  # the highest of one cycle (Smith 2018)
SMOOTHING = 0.1  # of the labels: a wrong one among them is then learned by heart less eagerly
AVERAGED = 0.99  # share of the averaged weights (Polyak 1992) that a step keeps
SMALLEST_CROP = 0.5  # share of the sides
DEGREES = 10.0
SMALL_UNTIL = 0.6  # share of the training with photos of two thirds of the side, which cost less than half

Pixels = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


def smallest_side() -> int:
    return registry.smallest_side(VARIANT)


def out_of_fold(
    pixels: Pixels, labels: Numbers, folds: Numbers, *, classes: int, epochs: int, seed: int, bar: Progress,
) -> npt.NDArray[np.float32]:
    """[n, classes] for uint8 [n, side, side, 3], labels [n] and fold numbers [n]; one training a fold.

    The same seed gives the same answers on the same machine. `bar` advances by photos trained on.
    """
    torch.set_num_threads(cores())
    answers = np.zeros((len(labels), classes), dtype=np.float32)
    for fold in np.unique(folds):
        apart = folds == fold
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + int(fold))
            network = _trained(pixels, labels, np.flatnonzero(~apart), classes, epochs, bar)
        answers[apart] = _answers(network, pixels, np.flatnonzero(apart))
    return answers


def _trained(pixels: Pixels, labels: Numbers, places: Numbers, classes: int, epochs: int, bar: Progress) -> Network:
    network = registry.build(VARIANT, classes).train()
    average = copy.deepcopy(network).eval()
    starts = range(0, max(len(places) - BATCH, 0) + 1, BATCH)  # a last batch of one would have no variance
    steps, side = epochs * len(starts), pixels.shape[1]
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=max(steps, 2))
    small = max(smallest_side(), side * 2 // 3)
    step = 0
    for _ in range(epochs):
        order = places[torch.randperm(len(places)).numpy()]
        for start in starts:
            numbers = np.sort(order[start:start + BATCH])  # in the order of the file: neighbours share pages
            photos = varied(torch.from_numpy(pixels[numbers]), small if step < SMALL_UNTIL * steps else side)
            loss = functional.cross_entropy(
                network(photos), torch.from_numpy(labels[numbers]), label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            step += 1
            _follow(average, network, step)
            bar.advance(len(numbers))
    return average


@torch.no_grad()
def _follow(average: Network, network: Network, step: int) -> None:
    moved = 1 - min(AVERAGED, step / (step + 10))  # quickly at first, or it would remember the untrained weights
    for mine, theirs in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mine.dtype.is_floating_point:
            mine.lerp_(theirs, moved)
        else:
            mine.copy_(theirs)


def varied(photos: torch.Tensor, side: int) -> torch.Tensor:
    """uint8 [n, ., ., 3] -> float32 [n, side, side, 3] of 0 to 255: each cropped, turned a little, half mirrored."""
    count = len(photos)
    size = SMALLEST_CROP + (1 - SMALLEST_CROP) * torch.rand(count)
    across, down = ((torch.rand(count) * 2 - 1) * (1 - size) for _ in range(2))
    angle = (torch.rand(count) * 2 - 1) * DEGREES * math.pi / 180
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    rows = (size * angle.cos() * mirror, -size * angle.sin(), across,
            size * angle.sin() * mirror, size * angle.cos(), down)
    grid = functional.affine_grid(torch.stack(rows, dim=1).view(count, 2, 3), [count, 3, side, side],
                                  align_corners=False)
    values = functional.grid_sample(photos.permute(0, 3, 1, 2).float(), grid, padding_mode="reflection",
                                    align_corners=False)
    return values.permute(0, 2, 3, 1)


@torch.inference_mode()
def _answers(network: nn.Module, pixels: Pixels, places: Numbers) -> npt.NDArray[np.float32]:
    """The mean over a photo and its mirror image."""
    parts = []
    for start in range(0, len(places), BATCH):
        photos = torch.from_numpy(pixels[places[start:start + BATCH]])
        both = [torch.softmax(network(one), dim=1) for one in (photos, photos.flip(2))]
        parts.append(((both[0] + both[1]) / 2).numpy())
    return np.concatenate(parts)
