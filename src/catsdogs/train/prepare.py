"""Everything a training needs, made from its settings."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from catsdogs.answering import Answering
from catsdogs.errors import UsageError
from catsdogs.files import digest_of, sha256
from catsdogs.machine import crowding
from catsdogs.nets.fast import REDUCTION, Fast
from catsdogs.nets.network import Network, at_once
from catsdogs.nets.plain import Plain
from catsdogs.nets.pretrained import Pretrained, takes_photos_of
from catsdogs.nets.probe import FIT_ON as HEAD_PHOTOS
from catsdogs.nets.registry import build, smallest_side, variant_name
from catsdogs.packed import PackedPhotos, open_packed
from catsdogs.provenance import code_digest, versions
from catsdogs.settings.training import TrainSettings
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from catsdogs.train import sight
from catsdogs.train.batches import TrainingBatches
from catsdogs.train.checkpoint import Checkpoint
from catsdogs.train.device import Device, choose
from catsdogs.train.initial import FEWEST, PHOTOS, fit_head, standardise, whiten
from catsdogs.train.plan import Plan
from catsdogs.train.processes import Processes
from catsdogs.train.recipe import Recipe, recipe_for
from catsdogs.train.reserve import divided
from catsdogs.train.resolution import fitting
from catsdogs.train.teacher import Teacher, ask, pupil

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


def prepare(
    settings: TrainSettings, processes: Processes, *, fit_to: float | None = None, taken: float = 0.0
) -> Prepared:
    """Open the photos and build the network, for a resolution that `fit_to`, the time budget without any other, has
    time for. `taken` is the share of any budget that went to what came before. Raises CatsdogsError for photos that are
    missing or do not fit it.
    """
    variant = variant_name(settings.model_variant)
    photos = open_packed(settings.data_dir)
    about = photos.about
    if len(set(processes.gathered([(about.splits_digest, about.image_size)]))) > 1:
        raise UsageError("The processes of this training have other photos or splits than each other: preprocess the "
                         "same photos in the same way on every machine.")
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
    teacher = ask(settings.teacher, photos.train, device) if settings.teacher else None
    checkpoint = _checkpoint(settings, _key(settings, network, photos, device, teacher), processes)
    if processes.first and not settings.resume:
        checkpoint.remove()
    state = checkpoint.load() if processes.first else None
    if (budget := fit_to or settings.time_budget) is not None and isinstance(network, Fast):
        _fit_to_budget(network, recipe, photos, device, budget, state, processes)
    _fit_to_photos(network, recipe, photos, settings.seed)
    if isinstance(network, Pretrained) and settings.time_budget is None:
        # What cannot be served is told now, not after training; where there is a budget, when it is divided.
        processes.done_by_first(lambda: _servable(network, about.image_size))
    if isinstance(network, Pretrained) and processes.from_first(state is None):
        taken += _fit_head(network, photos, device, settings.time_budget, processes)
    # The first process alone measures: the others would take their waiting for other programs' work.
    time = processes.done_by_first(lambda: divided(settings, network, photos, device, taken=taken))
    plan = Plan(
        recipe=recipe, epochs=settings.epochs, batch_size=settings.batch_size,
        learning_rate=settings.learning_rate, seed=settings.seed,
        seconds=time.left, reserve=time.reserve, validation=time.validation / processes.count,
    )
    return Prepared(
        variant=variant, photos=photos, network=network, plan=plan, device=device, checkpoint=checkpoint,
        state=state, teacher=teacher, pupil=pupil(network, teacher, about.image_size) if teacher else None,
    )


def _servable(network: Network, side: int) -> None:
    """Raises CatsdogsError where the engine cannot be given the network."""
    Answering(network, side)


def _fit_to_budget(
    network: Fast, recipe: Recipe, photos: PackedPhotos, device: Device, budget: float, state: dict[str, Any] | None,
    processes: Processes,
) -> None:
    """What was begun goes on as it began, however fast the machine is now."""
    def reduction() -> int:
        return state[REDUCTION] if state else fitting(network, recipe, photos, device, budget, processes.count)

    if (by := processes.done_by_first(reduction)) > 1:
        network.describe({REDUCTION: by})


def _fit_to_photos(network: Network, recipe: Recipe, photos: PackedPhotos, seed: int) -> None:
    network.cpu().train()  # as it is once it has been measured
    packed = photos.about.image_size // network.reduction
    side = recipe.side(0, packed, packed)
    count = max(FEWEST, at_once(photos.about.image_size, PHOTOS))  # they are read as they were packed
    batches = TrainingBatches(photos.train, count, seed, recipe.augmentation)
    pixels, _ = batches.get(0, 0, side)
    if recipe.initial == "standardised":
        assert isinstance(network, Plain)
        standardise(network, pixels)
    elif recipe.initial == "whitened":
        assert isinstance(network, Fast)
        whiten(network, pixels)


def _fit_head(
    network: Pretrained, photos: PackedPhotos, device: Device, budget: float | None, processes: Processes
) -> float:
    """By all processes; it is the first one's when the training begins. Returns the share that this takes of any
    budget; 0 where a longer one would not make it longer."""
    count = processes.done_by_first(lambda: _head_photos(budget, network, photos, device, processes.count))
    fit_head(network, photos.train, device, count, processes)
    network.cpu()
    return HEAD_SHARE if count < min(HEAD_PHOTOS, len(photos.train.labels)) else 0.0


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


def _head_photos(
    budget: float | None, network: Pretrained, photos: PackedPhotos, device: Device, processes: int
) -> int:
    """As many as are worth it, and as the budget has time for."""
    if budget is None:
        return HEAD_PHOTOS
    each = crowding() * sight.seconds(network, photos.val, device)
    return min(HEAD_PHOTOS, int(HEAD_SHARE * budget * processes / each))


def _key(
    settings: TrainSettings, network: Network, photos: PackedPhotos, device: Device, teacher: Teacher | None
) -> str:
    """Digest of everything that decides the weights: a checkpoint fits only the same training."""
    variant = variant_name(settings.model_variant)
    # A folder or a hub may hold other weights under the same name.
    begins = [_digest(values) for values in network.backbone.state_dict().values()] if isinstance(
        network, Pretrained) else []
    return digest_of([
        variant, begins, str(recipe_for(variant)), settings.time_budget or settings.epochs, settings.batch_size,
        settings.learning_rate, settings.seed, teacher and teacher.digest, code_digest(),
        photos.about.splits_digest, photos.about.image_size, str(device), torch.get_num_threads(), versions(),
    ])


def _digest(values: torch.Tensor) -> str:
    return sha256(values.reshape(-1).view(torch.uint8).numpy().tobytes())
