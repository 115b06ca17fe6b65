"""The training loop: steps, epochs, validation and checkpoints, and nothing about files or reports."""

import math
import time
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import nn
from torch.nn import functional

from catsdogs.reports import Epoch
from catsdogs.errors import CatsdogsError
from catsdogs.log import progress
from catsdogs.nets.network import Network
from catsdogs.nets.registry import smallest_side
from catsdogs.packed import Packed
from catsdogs.train.batches import TrainingBatches
from catsdogs.train.checkpoint import Checkpoint
from catsdogs.train.device import Device
from catsdogs.train.interruption import Interruption, Stopped, watched
from catsdogs.train.pace import Pace
from catsdogs.train.plan import Plan
from catsdogs.train.processes import ALONE, Processes
from catsdogs.train.resident import Pixels
from catsdogs.train.teacher import Lesson, Teacher
from catsdogs.train.training import Training, resume
from catsdogs.train.validation import LEARNING, answers, cross_entropy

SAVE_SECONDS = 60.0
VALIDATION_SHARE = 0.06
"""Within a time budget, an epoch is validated only where that costs at most this share of the time so far."""


class Diverged(CatsdogsError):
    """The loss is no number any more."""


class _Abandoned(Exception):
    """A step or a validation was given up half-way: the network is as it was before."""


def fit(
    network: Network, train: Packed, val: Packed, plan: Plan, *, variant: str, device: Device,
    checkpoint: Checkpoint, after_epoch: Callable[[Epoch], None],
    after_step: Callable[[int, float, float], None] = lambda steps, loss, images_per_second: None,
    processes: Processes = ALONE, teacher: Teacher | None = None, pupil: nn.Linear | None = None,
    state: dict[str, Any] | None = None,
) -> Training:
    """Train `network` in place; afterwards it holds the best epoch's weights, in the first process.

    With a `teacher`, `pupil` (the network's features -> the teacher's) learns along. `state` is the first process's, of
    the checkpoint to go on from.

    `after_epoch` is called with every validated epoch, those of a run that is gone on from included; `after_step` with
    the steps so far, the mean loss of the last one and its photos a second. Raises Diverged where the loss stops
    being a number (the last checkpoint stays), Stopped after SIGTERM.
    """
    if processes.from_first(state is None):
        processes.alike(network, *([] if pupil is None else [pupil]))
    network.to(device.device)
    training = Training.begin(network, plan, device.precision, None if pupil is None else pupil.to(device.device))
    resume(training, processes.from_first(state))
    for row in training.history:
        after_epoch(row)
    batches = TrainingBatches(train, plan.batch_size, plan.seed, plan.recipe.augmentation, processes, device.device)
    held_out = Pixels(val, device.device)
    whole, rest = divmod(training.steps, len(batches))
    seen = whole * len(train.labels) + sum(map(batches.count, range(rest)))
    left = plan.epochs * len(train.labels) - seen if plan.seconds is None else 0
    before, pace, slower = time.perf_counter(), Pace(), 1.0
    with watched() as interruption, progress("train", left, unit="images") as bar:
        keeper = _Keeper(training, checkpoint, processes, interruption)
        if training.owed:
            keeper.end_epoch(batches, held_out, device, plan, after_epoch)
        # Also where a shorter time is left than when it was saved: a step
        owed = processes.from_first(not training.best)
        while (done := plan.done(training.steps, len(batches), training.seconds, slower)) < 1 or owed:
            number, step = divmod(training.steps, len(batches))
            training.scale_rates(plan.recipe.rate(done))
            side = plan.recipe.side(done, train.pixels.shape[1] // network.reduction, smallest_side(variant))
            started = time.perf_counter()
            pixels, labels = batches.get(number + 1, step, side)
            training.input_seconds += time.perf_counter() - started
            count = batches.count(step)
            try:
                part = step_on(
                    training, pixels, labels, device, total=count, smoothing=plan.recipe.label_smoothing,
                    processes=processes, interruption=interruption,
                    lesson=None if teacher is None else teacher.lesson(batches.places(number + 1, step)))
            except _Abandoned:
                keeper.stop()
            now = time.perf_counter()
            # one message, so that all processes agree on where they are
            loss, seconds, passed, slower, asked = processes.total(
                part, (now - started) * processes.first, (now - before) * processes.first,
                (pace.slower() if device.device.type == "cpu" else 1.0) * processes.first, interruption.asked)
            before, interruption.asked = now, interruption.asked or asked > 0
            _check_finite(loss, f"at step {step + 1} of epoch {number + 1}", plan.learning_rate)
            training.count(loss, count, seconds, passed)
            after_step(training.steps, loss, count / seconds)
            bar.advance(count, note=f"epoch {number + 1}  {side} px  loss {loss:.3f}")
            ended = plan.done(training.steps, len(batches), training.seconds, slower) == 1
            owed = owed and not ended
            if step + 1 == len(batches) or ended:
                training.owed = ended or keeper.can_validate(plan)
                keeper.end_epoch(batches, held_out, device, plan, after_epoch)
            elif keeper.due():
                keeper.save()
            if asked:
                keeper.stop()
        if processes.from_first(interruption.asked):  # while the last epoch was validated or saved
            keeper.stop()
    if processes.first:
        network.load_state_dict(training.best)
    return training


class _Keeper:
    """Validates and saves, in the first process."""

    def __init__(
        self, training: Training, checkpoint: Checkpoint, processes: Processes, interruption: Interruption
    ) -> None:
        self.training, self.checkpoint, self.processes = training, checkpoint, processes
        self.interruption = interruption
        self._saved, self._validation_seconds, self._last_validation = time.monotonic(), 0.0, 0.0

    def due(self) -> bool:
        return time.monotonic() - self._saved > SAVE_SECONDS

    def save(self) -> None:
        if self.processes.first:
            self.checkpoint.save(self.training.state())
        self._saved = time.monotonic()

    def stop(self) -> NoReturn:
        self.save()
        raise Stopped(asked_at=self.interruption.at)

    def can_validate(self, plan: Plan) -> bool:
        """Always at the end of an epoch, but within a time budget only where it costs little of the time so far, and
        another step fits after it."""
        if plan.seconds is None:
            return True
        cost, passed = max(plan.validation, self._last_validation), self.training.seconds
        return (self._validation_seconds + cost < VALIDATION_SHARE * passed
                and plan.done(self.training.steps, 1, passed + cost) < 1)

    def end_epoch(
        self, batches: TrainingBatches, val: Pixels, device: Device, plan: Plan, after_epoch: Callable[[Epoch], None]
    ) -> None:
        """After the last step of an epoch, or of the training: validate, where that is owed, and save.

        Raises Stopped after SIGTERM, in every process: of a large network a validation takes longer than a machine may
        wait. It is then still owed.
        """
        training = self.training

        def validate() -> bool:
            number = (training.steps - 1) // len(batches)
            try:
                row = self.validated(val, device, number + 1)
            except _Abandoned:
                return False
            _check_finite(row.val_loss, f"on the validation photos after epoch {number + 1}", plan.learning_rate)
            training.note(row)
            after_epoch(row)
            return True

        def end() -> bool:
            if training.owed and self._would_wait(len(val.labels), plan):
                self.save()
            if whole := not training.owed or validate():
                training.end_epoch()
            self.save()  # before the others are told: one of them may be gone
            return whole

        if not self.processes.done_by_first(end):
            raise Stopped(asked_at=self.interruption.at)
        training.end_epoch()
        self._saved = time.monotonic()

    def _would_wait(self, photos: int, plan: Plan) -> bool:
        """Whether the last state would be older than it may become, once so many photos are validated."""
        as_steps = self.training.epoch_seconds / self.training.epoch_photos / LEARNING * photos * self.processes.count
        expected = max(plan.validation, self._last_validation or as_steps)
        return time.monotonic() - self._saved + expected > SAVE_SECONDS

    def validated(self, val: Pixels, device: Device, number: int) -> Epoch:
        def go_on() -> None:
            if self.interruption.asked:
                raise _Abandoned

        started, training, seen = time.perf_counter(), self.training, self.training.epoch_photos
        logits = answers(training.average.network, val, device, go_on)
        self._last_validation = time.perf_counter() - started
        self._validation_seconds += self._last_validation
        return Epoch(
            epoch=number, train_loss=training.epoch_loss / seen, val_loss=cross_entropy(logits, val.labels),
            val_accuracy=float((logits.argmax(1) == val.labels).mean()),
            images_per_second=seen / training.epoch_seconds, seconds=round(training.seconds, 3),
        )


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
            raise _Abandoned
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


def _check_finite(loss: float, where: str, learning_rate: float) -> None:
    if not math.isfinite(loss):
        raise Diverged(f"The loss is {loss} {where}: lower --learning-rate (now {learning_rate:g}).")
