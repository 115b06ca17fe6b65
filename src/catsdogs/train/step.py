"""One step of a training."""

import torch
from torch.nn import functional

from catsdogs.train.device import Device
from catsdogs.train.interruption import Abandoned, Interruption
from catsdogs.train.processes import ALONE, Processes
from catsdogs.train.teacher import Lesson
from catsdogs.train.training import Training


def step_on(
    training: Training, pixels: torch.Tensor, labels: torch.Tensor, device: Device, *, total: int | None = None,
    smoothing: float = 0.0, processes: Processes = ALONE, interruption: Interruption | None = None,
    lesson: Lesson | None = None,
) -> float:
    """One step on this process's part of a batch of `total` photos; returns its part of the mean loss on the labels.

    The gradient is summed over pieces of it, which changes rounding only. A step of a large network takes long on a
    processor, so SIGTERM ends it between pieces; where several processes wait for each other, after it.
    """
    training.network.train()
    for optimiser in training.optimisers:
        optimiser.zero_grad()
    piece, total = device.piece(len(labels), pixels.shape[1]), total or len(labels)
    mean = 0.0
    buffers = list(training.network.buffers())
    before = [buffer.clone() for buffer in buffers] if len(labels) > piece else []
    for start in range(0, len(labels), piece):
        if interruption is not None and interruption.asked and processes.count == 1:
            # Batch normalisation has taken notice of the pieces so far, which will come again.
            for buffer, was in zip(buffers, before, strict=False):  # there is nothing before of a batch of one piece
                buffer.copy_(was)
            raise Abandoned
        truth = labels[start:start + piece].to(device.device)
        photos = pixels[start:start + piece].to(device.device, non_blocking=True)
        with device.autocast():
            features = training.network.pooled(training.network.maps(photos, blocked=device.blocked))
            logits = training.network.head(features)
            told = training.pupil(features) if training.pupil is not None else None
        loss = functional.cross_entropy(logits.float(), truth, reduction="sum", label_smoothing=smoothing)
        mean += float(loss.detach()) / total
        if lesson is not None and told is not None:
            loss = lesson.part(slice(start, start + piece), device.device).loss(loss, logits.float(), told)
        (loss / total).backward()  # type: ignore[no-untyped-call]
    processes.sum_gradients(training.network, *([] if training.pupil is None else [training.pupil]))
    for optimiser in training.optimisers:
        optimiser.step()
    training.steps += 1
    training.average.update(training.network, training.steps)
    return mean
