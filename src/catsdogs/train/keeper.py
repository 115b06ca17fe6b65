"""What a training must not lose: epochs are validated by all processes together, and saved by the first."""

import math
import time
from collections.abc import Callable
from typing import NoReturn

from catsdogs.errors import CatsdogsError
from catsdogs.reports import Epoch
from catsdogs.train.batches import TrainingBatches
from catsdogs.train.checkpoint import Checkpoint
from catsdogs.train.device import Device
from catsdogs.train.interruption import Abandoned, Interruption, Stopped
from catsdogs.train.plan import Plan
from catsdogs.train.processes import Processes
from catsdogs.train.resident import Pixels
from catsdogs.train.training import Training
from catsdogs.train.validation import LEARNING, answers, cross_entropy

SAVE_SECONDS = 60.0
VALIDATION_SHARE = 0.06
"""Within a time budget, an epoch is validated only where that costs at most this share of the time so far."""


class Diverged(CatsdogsError):
    """The loss is no number any more."""


def check_finite(loss: float, where: str, learning_rate: float) -> None:
    """Raises Diverged."""
    if not math.isfinite(loss):
        raise Diverged(f"The loss is {loss} {where}: lower --learning-rate (now {learning_rate:g}).")


class Keeper:

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
        training, row = self.training, None
        if training.owed and not self.interruption.asked and (
                self.processes.count > 1 or self._would_wait(len(val.labels), plan)):
            self.save()  # before anything is asked of the others: with one of them gone, the training ends there
        training.owed = self.processes.from_first(training.owed)
        if training.owed:
            row = self._validated(val, device, (training.steps - 1) // len(batches) + 1, plan)
        whole = row is not None or not training.owed

        def end() -> None:
            if row is not None:
                training.note(row)
                after_epoch(row)
            if whole:
                training.end_epoch()
            self.save()  # before the others are told: one of them may be gone

        self.processes.done_by_first(end)
        if not whole:
            raise Stopped(asked_at=self.interruption.at)
        training.end_epoch()
        self._saved = time.monotonic()

    def _validated(self, val: Pixels, device: Device, number: int, plan: Plan) -> Epoch | None:
        """None where it was given up."""
        started, training, seen = time.perf_counter(), self.training, self.training.epoch_photos
        try:
            logits = answers(training.average.network, val, device, self.processes, self._go_on)
        except Abandoned:
            return None
        self._last_validation = time.perf_counter() - started
        self._validation_seconds += self._last_validation
        row = Epoch(
            epoch=number, train_loss=training.epoch_loss / seen, val_loss=cross_entropy(logits, val.labels),
            val_accuracy=float((logits.argmax(1) == val.labels).mean()),
            images_per_second=seen / training.epoch_seconds, seconds=round(training.seconds, 3),
        )
        check_finite(row.val_loss, f"on the validation photos after epoch {number}", plan.learning_rate)
        return row

    def _go_on(self) -> None:
        """Where no process was asked to stop."""
        asked, = self.processes.total(self.interruption.asked)
        if asked:
            self.interruption.asked = True
            raise Abandoned

    def _would_wait(self, photos: int, plan: Plan) -> bool:
        """Whether the last state would be older than it may become, once so many photos are validated."""
        as_steps = self.training.epoch_seconds / self.training.epoch_photos / LEARNING * photos
        expected = max(plan.validation, self._last_validation or as_steps)
        return time.monotonic() - self._saved + expected > SAVE_SECONDS
