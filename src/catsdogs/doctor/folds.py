"""Out-of-fold probabilities: what networks that never saw a photo say of it. The one place that chooses the network."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from catsdogs import nets
from catsdogs.log import Progress
from catsdogs.machine import cores

VARIANT = "baseline"
BATCH = 64
LEARNING_RATE = 3e-3  # the highest of one cycle (Smith 2018)
SMOOTHING = 0.1  # of the labels: a wrong one among them is then learned by heart less eagerly
SHIFT = 10  # a tenth of the side

Pixels = npt.NDArray[np.uint8]


def out_of_fold(
    pixels: Pixels, labels: npt.NDArray[np.int64], folds: npt.NDArray[np.int64], *, classes: int, epochs: int,
    seed: int, bar: Progress,
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


def _trained(
    pixels: Pixels, labels: npt.NDArray[np.int64], places: npt.NDArray[np.int64], classes: int, epochs: int,
    bar: Progress,
) -> nn.Module:
    network = nets.build(VARIANT, classes).train()
    steps = epochs * -(-len(places) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=max(steps, 2))
    for _ in range(epochs):
        order = places[torch.randperm(len(places)).numpy()]
        for start in range(0, len(order), BATCH):
            numbers = np.sort(order[start:start + BATCH])  # in the order of the file: neighbours share pages
            logits = network(_varied(torch.from_numpy(pixels[numbers])))
            loss = functional.cross_entropy(logits, torch.from_numpy(labels[numbers]), label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            bar.advance(len(numbers))
    return network.eval()


def _varied(photos: torch.Tensor) -> torch.Tensor:
    """Half of them mirrored, all moved by up to a tenth of the side."""
    mirrored = torch.rand(len(photos)) < 0.5
    photos[mirrored] = photos[mirrored].flip(2)
    side = photos.shape[1]
    most = side // SHIFT
    down, across = (int(torch.randint(2 * most + 1, ())) for _ in range(2))
    padded = functional.pad(photos.permute(0, 3, 1, 2).float(), (most,) * 4, mode="replicate")
    return padded[:, :, down:down + side, across:across + side].permute(0, 2, 3, 1)


@torch.inference_mode()
def _answers(network: nn.Module, pixels: Pixels, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The mean over a photo and its mirror image."""
    parts = []
    for start in range(0, len(places), 4 * BATCH):
        photos = torch.from_numpy(pixels[places[start:start + 4 * BATCH]])
        both = [torch.softmax(network(one), dim=1) for one in (photos, photos.flip(2))]
        parts.append(((both[0] + both[1]) / 2).numpy())
    return np.concatenate(parts)
