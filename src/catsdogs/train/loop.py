"""The training loop: epochs, validation, the best weights, and nothing about files or reports."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from catsdogs.artifacts import Epoch
from catsdogs.errors import CatsdogsError
from catsdogs.log import event, progress
from catsdogs.nets import Network
from catsdogs.packed import Packed
from catsdogs.train.batches import evaluation_batches, training_batches
from catsdogs.train.checkpoint import Checkpoint
from catsdogs.train.device import Device

EVALUATION_BATCH = 32


@dataclass
class Training:
    """State of a run; everything in it is saved at the end of an epoch."""

    network: Network
    optimiser: torch.optim.Optimizer
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    history: list[Epoch] = field(default_factory=list)

    @property
    def best_row(self) -> Epoch:
        return self.history[self.best_epoch - 1]

    def note(self, epoch: Epoch) -> None:
        """Keep a copy of the weights where this epoch is the best: higher accuracy, then lower loss."""
        self.history.append(epoch)
        if not self.best_epoch or _rank(epoch) > _rank(self.best_row):
            # clone: a reference would turn into the last weights as training goes on
            self.best = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
            self.best_epoch = epoch.epoch

    def state(self) -> dict[str, Any]:
        return {
            "epoch": len(self.history),
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "best_epoch": self.best_epoch,
            "history": [row.model_dump() for row in self.history],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.history = [Epoch(**row) for row in state["history"]]


def fit(
    network: Network, train: Packed, val: Packed, *, epochs: int, batch_size: int, learning_rate: float, seed: int,
    device: Device, checkpoint: Checkpoint, after_epoch: Callable[[Epoch], None],
) -> Training:
    """Train `network` in place with Adam and a cosine to zero; afterwards it holds the best epoch's weights.

    `after_epoch` is called with every epoch's row, those of a run that is gone on from included. Raises
    CatsdogsError where the loss stops being a number; the last checkpoint stays.
    """
    network.to(device.device)
    training = Training(network, torch.optim.Adam(network.parameters(), lr=learning_rate))
    resume(training, checkpoint)
    for row in training.history:
        after_epoch(row)
    steps = math.ceil(len(train.labels) / batch_size)
    remaining = (epochs - len(training.history)) * len(train.labels)
    with progress("train", remaining, unit="images") as bar:
        for number in range(len(training.history) + 1, epochs + 1):
            started = time.perf_counter()
            network.train()
            total = 0.0
            for step, (pixels, labels) in enumerate(training_batches(train, batch_size, seed, number)):
                done = ((number - 1) * steps + step) / (epochs * steps)
                for group in training.optimiser.param_groups:
                    group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * done))
                loss = step_on(training, pixels, labels, device)
                _check_finite(loss, f"at step {step + 1} of epoch {number}", learning_rate)
                total += loss * len(labels)
                bar.advance(len(labels), note=f"epoch {number}/{epochs}  loss {loss:.3f}")
            seconds = time.perf_counter() - started
            logits = answers(network, val, device)
            row = Epoch(
                epoch=number, train_loss=total / len(train.labels), val_loss=cross_entropy(logits, val.labels),
                val_accuracy=float((logits.argmax(1) == val.labels).mean()),
                images_per_second=len(train.labels) / seconds,
            )
            _check_finite(row.val_loss, f"on the validation photos after epoch {number}", learning_rate)
            training.note(row)
            checkpoint.save(training.state())
            after_epoch(row)
    network.load_state_dict(training.best)
    return training


def resume(training: Training, checkpoint: Checkpoint) -> None:
    """Go on from the checkpoint where there is one that fits; otherwise leave the training as it is."""
    state = checkpoint.load()
    if state is None:
        return
    fresh = copy.deepcopy(training.state())
    try:
        training.restore(state)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError):
        training.restore(fresh)  # some layers may have been overwritten before one did not fit
        event("checkpoint_ignored", because="it was written for another network", path=checkpoint.path)
        return
    event("resumed", epoch=len(training.history), path=checkpoint.path)


def step_on(training: Training, pixels: torch.Tensor, labels: torch.Tensor, device: Device) -> float:
    """One step on a batch; the gradient is summed over pieces of it, which changes rounding only."""
    training.optimiser.zero_grad(set_to_none=True)
    piece = device.piece(len(labels), pixels.shape[1])
    total = 0.0
    for start in range(0, len(labels), piece):
        truth = labels[start:start + piece].to(device.device)
        with device.autocast():
            photos = pixels[start:start + piece].to(device.device, non_blocking=True)
            logits = training.network(photos, blocked=device.blocked)
        loss = functional.cross_entropy(logits.float(), truth, reduction="sum") / len(labels)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    training.optimiser.step()
    return total


def answers(network: Network, photos: Packed, device: Device) -> npt.NDArray[np.float32]:
    """Logits, float32 [n, classes], of every photo of a split, in its order."""
    network.eval()
    parts = []
    with torch.inference_mode(), device.autocast():
        for pixels, _ in evaluation_batches(photos, EVALUATION_BATCH):
            parts.append(network(pixels.to(device.device)).float().cpu().numpy())
    return np.concatenate(parts)


def cross_entropy(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], temperature: float = 1.0) -> float:
    """Mean negative log-likelihood of the labels, after dividing the logits by the temperature."""
    return float(functional.cross_entropy(torch.from_numpy(logits) / temperature, torch.from_numpy(labels)))


def _check_finite(loss: float, where: str, learning_rate: float) -> None:
    if not math.isfinite(loss):
        raise CatsdogsError(f"The loss is {loss} {where}: lower --learning-rate (now {learning_rate:g}).")


def _rank(row: Epoch) -> tuple[float, float]:
    return row.val_accuracy, -row.val_loss
