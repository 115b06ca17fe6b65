"""The training loop: steps, epochs, validation and checkpoints, and nothing about files or reports."""

import time
from collections.abc import Callable
from typing import Any

from torch import nn

from catsdogs.log import progress
from catsdogs.nets.network import Network
from catsdogs.nets.registry import smallest_side
from catsdogs.packed import Packed
from catsdogs.reports import Epoch
from catsdogs.train.batches import TrainingBatches
from catsdogs.train.checkpoint import Checkpoint
from catsdogs.train.device import Device
from catsdogs.train.interruption import Abandoned, watched
from catsdogs.train.keeper import Keeper, check_finite
from catsdogs.train.pace import Pace
from catsdogs.train.plan import Plan
from catsdogs.train.processes import ALONE, Processes
from catsdogs.train.resident import Pixels
from catsdogs.train.step import step_on
from catsdogs.train.teacher import Teacher
from catsdogs.train.training import Training, resume


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
        keeper = Keeper(training, checkpoint, processes, interruption)
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
            except Abandoned:
                keeper.stop()
            now = time.perf_counter()
            # one message, so that all processes agree on where they are
            loss, seconds, passed, slower, asked = processes.total(
                part, (now - started) * processes.first, (now - before) * processes.first,
                (pace.slower() if device.device.type == "cpu" else 1.0) * processes.first, interruption.asked)
            before = now
            if asked:  # never the other way round: SIGTERM may come at any moment
                interruption.asked = True
            check_finite(loss, f"at step {step + 1} of epoch {number + 1}", plan.learning_rate)
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
