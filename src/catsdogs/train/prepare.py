"""Everything a training needs, made from its settings."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from catsdogs.answering import Answering
from catsdogs.errors import UsageError
from catsdogs.export import CANDIDATES, CHECK_ON
from catsdogs.familiarity import FIT_ON
from catsdogs.files import digest_of
from catsdogs.machine import crowding, seconds_alive
from catsdogs.nets.fast import Fast
from catsdogs.nets.network import Network, at_once
from catsdogs.nets.plain import Plain
from catsdogs.nets.pretrained import Pretrained, takes_photos_of
from catsdogs.nets.probe import FIT_ON as HEAD_PHOTOS
from catsdogs.nets.quantised.learning import looks
from catsdogs.nets.quantised.served import quantised
from catsdogs.nets.quantised.steps import steps_by
from catsdogs.nets.registry import build, smallest_side, variant_name
from catsdogs.packed import Packed, PackedPhotos, open_packed
from catsdogs.provenance import code_digest, versions
from catsdogs.settings.training import TrainSettings
from catsdogs.settings.versions import BucketSettings
from catsdogs.statistics import statistics
from catsdogs.storage import open_store
from catsdogs.train import sight
from catsdogs.train.batches import TrainingBatches
from catsdogs.train.checkpoint import Checkpoint
from catsdogs.train.device import Device, choose
from catsdogs.train.initial import FEWEST, PHOTOS, fit_head, standardise, whiten
from catsdogs.train.plan import Plan
from catsdogs.train.processes import Processes
from catsdogs.train.recipe import Recipe, recipe_for
from catsdogs.train.teacher import Teacher, ask, pupil
from catsdogs.train.validation import seconds_a_photo

SECONDS_AFTER = 3.5  # for calibration, export, plots and closing the run, what grows with the photos apart
MARGIN = 1.35  # on the time of answering, which is measured once: it turned out up to 25 % longer
DRIFT = 0.003  # of the budget: in a long time a machine changes its pace; of 15 minutes, one ended 1.0 s late without
STATISTICS_ON = 4  # photos, to see how long those of one take
HEAD_SHARE = 0.25  # of a time budget that fitting a head may take


@dataclass(frozen=True, kw_only=True)
class Prepared:
    variant: str
    photos: PackedPhotos
    network: Network
    plan: Plan
    device: Device
    checkpoint: Checkpoint
    state: dict[str, Any] | None = None  # of the checkpoint, in the first process
    teacher: Teacher | None = None
    pupil: nn.Linear | None = None


def prepare(settings: TrainSettings, processes: Processes) -> Prepared:
    """Open the photos and build the network. Raises CatsdogsError for photos that are missing or do not fit it."""
    variant = variant_name(settings.model_variant)
    photos = open_packed(settings.data_dir)
    about = photos.about
    if about.image_size < smallest_side(variant):
        raise UsageError(
            f"Photos of {about.image_size} px are too small for {variant!r}: preprocess with --image-size "
            f"{smallest_side(variant)} or more."
        )
    _check_gpu(settings)
    device = choose(settings.force_cpu, settings.precision, processes)
    torch.manual_seed(settings.seed)
    network = build(variant, len(about.classes))
    if isinstance(network, Pretrained):
        takes_photos_of(network, about.image_size)
    recipe = recipe_for(variant)
    _fit_to_photos(network, recipe, photos, settings.seed)
    teacher = ask(settings.teacher, photos.train, device) if settings.teacher else None
    checkpoint = _checkpoint(settings, _key(settings, variant, photos, device, teacher), processes)
    if processes.first and not settings.resume:
        checkpoint.remove()
    state = checkpoint.load() if processes.first else None
    if isinstance(network, Pretrained) and settings.time_budget is None:
        # What cannot be served is told now, not after training; where there is a budget, when it is divided.
        processes.done_by_first(lambda: _servable(network, about.image_size))
    if isinstance(network, Pretrained) and processes.from_first(state is None):
        _fit_head(network, photos, device, settings.time_budget, processes)
    # The first process alone measures: the others would take their waiting for other programs' work.
    time = processes.done_by_first(lambda: _time(settings, network, photos, device))
    plan = Plan(
        recipe=recipe, epochs=settings.epochs, batch_size=settings.batch_size,
        learning_rate=settings.learning_rate, seed=settings.seed,
        seconds=time.left, reserve=time.reserve, validation=time.validation,
    )
    return Prepared(
        variant=variant, photos=photos, network=network, plan=plan, device=device, checkpoint=checkpoint,
        state=state, teacher=teacher, pupil=pupil(network, teacher, about.image_size) if teacher else None,
    )


def _servable(network: Network, side: int) -> None:
    """Raises CatsdogsError where the engine cannot be given the network."""
    Answering(network, side)


def _fit_to_photos(network: Network, recipe: Recipe, photos: PackedPhotos, seed: int) -> None:
    packed = photos.about.image_size
    side = recipe.side(0, packed, packed)
    batches = TrainingBatches(photos.train, max(FEWEST, at_once(side, PHOTOS)), seed, recipe.augmentation)
    pixels, _ = batches.get(0, 0, side)
    if recipe.initial == "standardised":
        assert isinstance(network, Plain)
        standardise(network, pixels)
    elif recipe.initial == "whitened":
        assert isinstance(network, Fast)
        whiten(network, pixels)


def _fit_head(
    network: Pretrained, photos: PackedPhotos, device: Device, budget: float | None, processes: Processes
) -> None:
    """In the first process; the others get it from there, for machines round differently."""
    def fitted() -> dict[str, torch.Tensor]:
        fit_head(network, photos.train, device, _head_photos(budget, network, photos, device))
        return network.cpu().head.state_dict()

    network.head.load_state_dict(processes.done_by_first(fitted))


def _check_gpu(settings: TrainSettings) -> None:
    """Raises UsageError where a GPU is asked for and cannot be had."""
    if not settings.require_gpu:
        return
    if settings.force_cpu:
        raise UsageError("--require-gpu and --force-cpu contradict each other: leave one of them out.")
    if not torch.cuda.is_available():
        raise UsageError(f"No GPU can be used here (torch {torch.__version__} sees none): leave out --require-gpu to "
                         "train on the processor, or install a build of torch for this GPU.")


def _checkpoint(settings: TrainSettings, key: str, processes: Processes) -> Checkpoint:
    """Only the first process saves and loads. Raises UsageError for a bucket's address of no known kind."""
    if not settings.checkpoint_bucket or not processes.first:
        return Checkpoint(settings.artifact_dir, key)
    from catsdogs.train.far import FarCheckpoint

    return FarCheckpoint(settings.artifact_dir, key, open_store(BucketSettings(bucket=settings.checkpoint_bucket)))


def _head_photos(budget: float | None, network: Pretrained, photos: PackedPhotos, device: Device) -> int:
    """As many as are worth it, and as the budget has time for."""
    if budget is None:
        return HEAD_PHOTOS
    each = crowding() * sight.seconds(network, photos.val, device)
    return min(HEAD_PHOTOS, int(HEAD_SHARE * budget / each))


class _Time(NamedTuple):
    left: float | None  # of the budget, for steps
    reserve: float = 0.0  # for answering the photos and exporting the model
    validation: float = 0.0  # of an epoch


def _time(settings: TrainSettings, network: Network, photos: PackedPhotos, device: Device) -> _Time:
    """Raises UsageError where less than a quarter of the budget is left."""
    budget = settings.time_budget
    if budget is None:
        return _Time(None)
    answering = Answering(_like_served(network, settings, photos.val), photos.val.pixels.shape[1], exact=device.exact)
    validation, test = len(photos.val.labels), len(photos.test.labels)
    exact = Device(torch.device("cpu"), torch.float32)
    an_epoch = validation * seconds_a_photo(network, photos.val, device)
    seconds = (
        an_epoch  # the last one
        + (validation + 2 * test + 2 * FIT_ON) * answering.seconds_a_photo(photos.val.pixels)  # figures, export
        + 2 * FIT_ON * _statistics_seconds(photos.val)
        + (settings.quantise * looks(network, photos.train.pixels) + CHECK_ON + len(photos.about.classes) * CANDIDATES)
        * seconds_a_photo(network, photos.val, exact)
        + 2 * answering.seconds_to_start)  # the engine for the figures, and that of the export
    reserve = SECONDS_AFTER * crowding() + MARGIN * seconds + DRIFT * budget
    left = budget - seconds_alive() - reserve
    if left < budget / 4:
        whatever_the_budget = budget - left - DRIFT * budget
        raise UsageError(
            f"--time-budget {budget:g}s is too short here: {budget - left:.0f} s of it go to starting, testing and "
            f"exporting; give at least {whatever_the_budget / (3 / 4 - DRIFT):.0f}s."
        )
    return _Time(left, reserve, MARGIN * an_epoch)


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


def _key(
    settings: TrainSettings, variant: str, photos: PackedPhotos, device: Device, teacher: Teacher | None
) -> str:
    """Digest of everything that decides the weights: a checkpoint fits only the same training."""
    return digest_of([
        variant, str(recipe_for(variant)), settings.time_budget or settings.epochs, settings.batch_size,
        settings.learning_rate, settings.seed, teacher and teacher.digest, code_digest(),
        photos.about.splits_digest, photos.about.image_size, str(device), torch.get_num_threads(), versions(),
    ])
