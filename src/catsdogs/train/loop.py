"""The training loop: steps, epochs, validation and checkpoints, and nothing about files or reports."""

import copy
import math
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from catsdogs.artifacts import Epoch
from catsdogs.errors import CatsdogsError
from catsdogs.log import event, progress
from catsdogs.nets.network import Network
from catsdogs.packed import Packed
from catsdogs.train.batches import TrainingBatches, evaluation_batches
from catsdogs.train.checkpoint import Checkpoint
from catsdogs.train.device import Device
from catsdogs.train.interruption import Interruption, Stopped, watched
from catsdogs.train.plan import Plan
from catsdogs.train.training import Training

EVALUATION_BATCH = 32
SAVE_SECONDS = 60.0
VALIDATION_SHARE = 0.06
"""Within a time budget, an epoch is validated only where that costs at most this share of the time so far."""


class _Abandoned(Exception):
    """A step was given up half-way: nothing of it has reached the weights."""


def fit(
    network: Network, train: Packed, val: Packed, plan: Plan, *, smallest_side: int, device: Device,
    checkpoint: Checkpoint, after_epoch: Callable[[Epoch], None],
) -> Training:
    """Train `network` in place; afterwards it holds the best epoch's weights.

    `after_epoch` is called with every validated epoch, those of a run that is gone on from included. Raises
    CatsdogsError where the loss stops being a number (the last checkpoint stays), Stopped after SIGTERM.
    """
    network.to(device.device)
    training = Training.begin(network, plan)
    resume(training, checkpoint)
    for row in training.history:
        after_epoch(row)
    batches = TrainingBatches(train, plan.batch_size, plan.seed, plan.recipe.augmentation)
    packed_side = train.pixels.shape[1]
    saved, validation_seconds = time.monotonic(), 0.0
    left = max(0, plan.epochs * len(batches) - training.steps) * plan.batch_size if plan.seconds is None else 0
    with watched() as interruption, progress("train", left, unit="images") as bar:
        while (done := plan.done(training.steps, len(batches), training.seconds)) < 1:
            number, step = divmod(training.steps, len(batches))
            training.scale_rates(plan.recipe.rate(done))
            side = plan.recipe.side(done, packed_side, smallest_side)
            started = time.perf_counter()
            pixels, labels = batches.get(number + 1, step, side)
            training.input_seconds += time.perf_counter() - started
            try:
                loss = step_on(training, pixels, labels, device, plan.recipe.label_smoothing, interruption)
            except _Abandoned:
                checkpoint.save(training.state())
                raise Stopped("Stopped; run the same command again to go on.") from None
            _check_finite(loss, f"at step {step + 1} of epoch {number + 1}", plan.learning_rate)
            _count(training, loss * len(labels), time.perf_counter() - started)
            bar.advance(len(labels), note=f"epoch {number + 1}  {side} px  loss {loss:.3f}")
            done = plan.done(training.steps, len(batches), training.seconds)
            if step + 1 == len(batches) or done == 1:
                if done == 1 or plan.seconds is None or validation_seconds < VALIDATION_SHARE * training.seconds:
                    started = time.perf_counter()
                    seen = (step + 1) * plan.batch_size if step + 1 < len(batches) else len(train.labels)
                    row = _validated(training, val, device, number + 1, seen)
                    _check_finite(row.val_loss, f"on the validation photos after epoch {number + 1}",
                                  plan.learning_rate)
                    training.note(row)
                    validation_seconds += 2 * (time.perf_counter() - started)  # this one, and the next one's share
                    after_epoch(row)
                training.epoch_loss = training.epoch_seconds = 0.0
                checkpoint.save(training.state())
                saved = time.monotonic()
            elif interruption.asked or time.monotonic() - saved > SAVE_SECONDS:
                checkpoint.save(training.state())
                saved = time.monotonic()
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
    event("resumed", step=training.steps, path=checkpoint.path)


def step_on(
    training: Training, pixels: torch.Tensor, labels: torch.Tensor, device: Device, smoothing: float = 0.0,
    interruption: Interruption | None = None,
) -> float:
    """One step on a batch; the gradient is summed over pieces of it, which changes rounding only.

    Returns the mean loss. A step of a large network takes long on a processor, so SIGTERM ends it between pieces.
    """
    training.network.train()
    for optimiser in training.optimisers:
        optimiser.zero_grad(set_to_none=True)
    piece = device.piece(len(labels), pixels.shape[1])
    total = 0.0
    for start in range(0, len(labels), piece):
        if interruption is not None and interruption.asked:
            raise _Abandoned
        truth = labels[start:start + piece].to(device.device)
        photos = pixels[start:start + piece].to(device.device, non_blocking=True)
        with device.autocast():
            logits = training.network(photos, blocked=device.blocked)
        loss = functional.cross_entropy(logits.float(), truth, reduction="sum", label_smoothing=smoothing) / len(labels)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    for optimiser in training.optimisers:
        optimiser.step()
    training.steps += 1
    training.average.update(training.network, training.steps)
    return total


def seconds_a_photo(network: Network, side: int, device: Device) -> float:
    """How long the network takes to answer one photo of a batch, measured on blank ones."""
    network.to(device.device).eval()
    blank = torch.zeros(EVALUATION_BATCH, side, side, 3, dtype=torch.uint8, device=device.device)
    with torch.inference_mode(), device.autocast():
        network(blank)
        started = time.perf_counter()
        network(blank).cpu()
    return (time.perf_counter() - started) / EVALUATION_BATCH


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


def _count(training: Training, loss: float, seconds: float) -> None:
    training.epoch_loss += loss
    training.epoch_seconds += seconds
    training.seconds += seconds


def _validated(training: Training, val: Packed, device: Device, number: int, seen: int) -> Epoch:
    logits = answers(training.average.network, val, device)
    return Epoch(
        epoch=number, train_loss=training.epoch_loss / seen, val_loss=cross_entropy(logits, val.labels),
        val_accuracy=float((logits.argmax(1) == val.labels).mean()),
        images_per_second=seen / training.epoch_seconds,
    )


def _check_finite(loss: float, where: str, learning_rate: float) -> None:
    if not math.isfinite(loss):
        raise CatsdogsError(f"The loss is {loss} {where}: lower --learning-rate (now {learning_rate:g}).")
