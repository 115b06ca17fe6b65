"""A time budget -> what is left of it for steps, and what is kept for all that comes after them."""

import math
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch

from catsdogs.answering import Answering
from catsdogs.errors import UsageError
from catsdogs.export import CANDIDATES, CHECK_ON
from catsdogs.familiarity import FIT_ON
from catsdogs.machine import crowding, seconds_alive
from catsdogs.nets.network import Network
from catsdogs.nets.plain import Plain
from catsdogs.nets.pretrained import Pretrained
from catsdogs.nets.quantised.learning import looks
from catsdogs.nets.quantised.served import quantised
from catsdogs.nets.quantised.steps import steps_by
from catsdogs.packed import Packed, PackedPhotos
from catsdogs.settings.training import TrainSettings
from catsdogs.statistics import statistics
from catsdogs.train.device import Device
from catsdogs.train.validation import LEARNING, seconds_a_photo

SECONDS_AFTER = 3.5  # for calibration, export, plots and closing the run, what grows with the photos apart
MARGIN = 1.35  # on the time of answering, which is measured once: it turned out up to 25 % longer
DRIFT = 0.003  # of the budget: in a long time a machine changes its pace; of 15 minutes, one ended 1.0 s late without
STATISTICS_ON = 4  # photos, to see how long those of one take
LEAST = 0.25  # of the budget for steps: with less it is refused
LEAST_FITTED = 0.05  # of a network whose head was fitted before: it is right of 98 % of photos without a step
ASKED = 2  # times before it is: half a second in which another program ran refused 24 s, of which 21 were needed


class Divided(NamedTuple):
    left: float | None  # of the budget, for steps
    reserve: float = 0.0  # for answering the photos and exporting the model
    validation: float = 0.0  # of an epoch


def divided(
    settings: TrainSettings, network: Network, photos: PackedPhotos, device: Device, *, taken: float = 0.0
) -> Divided:
    """Raises UsageError where too little of the budget is left to learn anything, however often that is measured.
    `taken` is the share of any budget, this one or a longer one, that went to what came before."""
    budget = settings.time_budget
    if budget is None:
        return Divided(None)
    answering = Answering(_like_served(network, settings, photos.val), photos.val.pixels.shape[1], exact=device.exact)
    least = LEAST_FITTED if isinstance(network, Pretrained) else LEAST
    batch = min(settings.batch_size, len(photos.train.labels))
    for _ in range(ASKED):
        reserve, validation = _reserve(settings, network, photos, device, answering)
        reserve += DRIFT * budget
        left = budget - seconds_alive() - reserve
        a_step = LEARNING * batch * validation / MARGIN / len(photos.val.labels)
        if left >= max(least * budget, a_step):  # one is taken, however long
            return Divided(left, reserve, validation)
    whatever_the_budget = budget - left - (DRIFT + taken) * budget
    free = 1 - DRIFT - taken
    enough = max(whatever_the_budget / (free - least), (whatever_the_budget + a_step) / free)
    raise UsageError(
        f"--time-budget {budget:g}s is too short here: {budget - left:.0f} s of it go to starting, testing and "
        f"exporting; give at least {math.ceil(enough)}s."
    )


def lasts(budget: float | None, taken: float, photos: PackedPhotos) -> bool:
    """Whether the budget lasts for once more what took so many seconds for the test photos, and for the export."""
    return budget is None or (
        seconds_alive() + taken * (1 + _described(photos) / len(photos.test.labels)) + SECONDS_AFTER <= budget)


def _reserve(
    settings: TrainSettings, network: Network, photos: PackedPhotos, device: Device, answering: Answering
) -> tuple[float, float]:
    """Seconds of all that comes after the steps, and of validating an epoch, from how fast this machine is now."""
    validation, test = len(photos.val.labels), len(photos.test.labels)
    exact = Device(torch.device("cpu"), torch.float32)
    an_epoch = validation * seconds_a_photo(network, photos.val, device)
    seconds = (
        an_epoch  # the last one; of several processes it takes a part
        + (validation + 2 * test + _described(photos)) * answering.seconds_a_photo(photos.val.pixels)  # figures, export
        + _described(photos) * _statistics_seconds(photos.val)
        + (settings.quantise * looks(network, photos.train.pixels) + CHECK_ON + len(photos.about.classes) * CANDIDATES)
        * seconds_a_photo(network, photos.val, exact)
        + 2 * answering.seconds_to_start)  # the engine for the figures, and that of the export
    return SECONDS_AFTER * crowding() + MARGIN * seconds, MARGIN * an_epoch


def _described(photos: PackedPhotos) -> int:
    """Photos that the export looks at, to tell what is far from them."""
    return sum(min(FIT_ON, len(split.labels)) for split in (photos.train, photos.val))


def _statistics_seconds(photos: Packed) -> float:
    """Of one photo, for what is usual; the first one of a process takes longer."""
    statistics(np.array(photos.pixels[:1]))
    some = np.array(photos.pixels[:STATISTICS_ON])
    started = perf_counter()
    statistics(some)
    return (perf_counter() - started) / len(some)


def _like_served(network: Network, settings: TrainSettings, photos: Packed) -> Network:
    """With steps by very few photos, to see how long it takes; in floats where it may come to that."""
    found = quantised(network) if settings.quantise and not isinstance(network, Plain) else None
    if found is None:
        return network
    found.take_steps(steps_by(found, photos.pixels, pixels=0))
    return found
