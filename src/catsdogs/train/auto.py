"""`--model-variant auto`: every network gets a tenth of the time budget, and the best of them the rest."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from catsdogs.artifacts import Preprocessed
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import write_json
from catsdogs.log import event
from catsdogs.machine import seconds_alive
from catsdogs.nets.registry import VARIANTS, smallest_side
from catsdogs.packed import open_packed
from catsdogs.provenance import code_digest, versions
from catsdogs.settings.training import TrainSettings
from catsdogs.train.keeper import Diverged
from catsdogs.train.loop import fit
from catsdogs.train.memory import OutOfMemory, enough_memory
from catsdogs.train.prepare import prepare
from catsdogs.train.processes import ALONE

AUTO = "auto"
SHARE = 0.1
FILE_NAME = "auto.json"


@dataclass
class _Found:
    """So far, by network."""

    val_accuracy: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # why


class Chosen(NamedTuple):
    settings: TrainSettings
    taken: float = 0.0  # share of any time budget that went to comparing


def chosen(settings: TrainSettings) -> Chosen:
    """The settings with the variant that answered the validation photos best after its share of the time.

    What was found stays in `auto.json`, network by network, so that a training that goes on repeats none of it. They
    are compared without the teacher: asked anew for each, it would take more than the share of a short budget.
    Raises UsageError without a time budget, CatsdogsError where every network fails.
    """
    if settings.model_variant != AUTO:
        return Chosen(settings)
    if settings.time_budget is None:
        raise UsageError("--model-variant auto compares networks within a time: give --time-budget, such as 10m.")
    about, path = open_packed(settings.data_dir).about, settings.artifact_dir / FILE_NAME
    key = _key(settings, about)
    found = (_known(path, key) if settings.resume else None) or _Found()
    untried = [name for name in VARIANTS if about.image_size >= smallest_side(name)
               and name not in found.val_accuracy | found.failed]
    if settings.teacher and untried:
        event("teacher_left_out", because="networks are compared without it; the one that is chosen learns from it")
    for name in untried:
        _try(name, settings.model_copy(update={"model_variant": name, "teacher": ""}), found,
             SHARE * settings.time_budget)
        write_json(path, {"key": key, **vars(found)})
    if not found.val_accuracy:
        path.unlink()  # there may be more memory the next time
        name, reason = next(iter(found.failed.items()))
        raise CatsdogsError(f"Every network failed; {name}: {reason}")
    best = max(found.val_accuracy, key=lambda name: found.val_accuracy[name])
    write_json(path, {"key": key, **vars(found), "chosen": best})
    event("variant_chosen", variant=best,
          **{f"{name}_val_accuracy": value for name, value in found.val_accuracy.items()})
    return Chosen(settings.model_copy(update={"model_variant": best}), SHARE * len(untried))


def _key(settings: TrainSettings, about: Preprocessed) -> list[Any]:
    """What decides which network is found to be the best; the teacher does not, for it is left out."""
    return [about.splits_digest, about.image_size, settings.time_budget, settings.batch_size, settings.learning_rate,
            settings.seed, settings.force_cpu, settings.precision, code_digest(), versions()]


def _known(path: Path, key: list[Any]) -> _Found | None:
    """What an earlier run of the same training found."""
    try:
        content = json.loads(path.read_text())
        found = _Found(content["val_accuracy"], content["failed"])
        fits = content["key"] == key and (found.val_accuracy | found.failed).keys() <= VARIANTS.keys()
        return found if fits else None
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _try(name: str, settings: TrainSettings, found: _Found, seconds: float) -> None:
    """A loss that is no number, or too little memory, is one network's; all else ends the comparison."""
    try:
        found.val_accuracy[name] = _accuracy(settings, seconds)
    except (Diverged, OutOfMemory) as error:
        found.failed[name] = str(error)
        event("variant_failed", variant=name, because=str(error))


def _accuracy(settings: TrainSettings, seconds: float) -> float:
    """Of the best epoch of a training that may take so long, starting included. Raises Diverged, OutOfMemory."""
    started = seconds_alive()
    folder = settings.artifact_dir / AUTO
    with enough_memory(settings.batch_size):
        prepared = prepare(settings.model_copy(update={
            "artifact_dir": folder, "checkpoint_bucket": "", "resume": False, "time_budget": None}), ALONE,
            fit_to=settings.time_budget)
        plan = replace(prepared.plan, seconds=max(1.0, seconds - (seconds_alive() - started)))
        try:
            training = fit(prepared.network, prepared.photos.train, prepared.photos.val, plan,
                           variant=prepared.variant, device=prepared.device, checkpoint=prepared.checkpoint,
                           after_epoch=lambda row: None)
        finally:
            prepared.checkpoint.remove()
    return training.best_row.val_accuracy
