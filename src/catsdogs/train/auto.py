"""`--model-variant auto`: every network gets a tenth of the time budget, and the best of them the rest."""

import json
from dataclasses import replace
from typing import Any

from catsdogs.errors import UsageError
from catsdogs.files import write_json
from catsdogs.log import event
from catsdogs.machine import seconds_alive
from catsdogs.nets.registry import VARIANTS, smallest_side
from catsdogs.packed import open_packed
from catsdogs.settings.training import TrainSettings
from catsdogs.train.loop import fit
from catsdogs.train.prepare import prepare
from catsdogs.train.processes import ALONE

AUTO = "auto"
SHARE = 0.1
FILE_NAME = "auto.json"


def chosen(settings: TrainSettings) -> TrainSettings:
    """The settings with the variant that answered the validation photos best after its share of the time.

    What was found stays in `auto.json`, so that a training that goes on does not choose again. Raises UsageError
    without a time budget.
    """
    if settings.model_variant != AUTO:
        return settings
    if settings.time_budget is None:
        raise UsageError("--model-variant auto compares networks within a time: give --time-budget, such as 10m.")
    about = open_packed(settings.data_dir).about
    key = [about.splits_digest, about.image_size, settings.time_budget, settings.batch_size, settings.learning_rate,
           settings.seed]
    known = _known(settings, key) if settings.resume else None
    accuracies = known or {
        name: _accuracy(settings.model_copy(update={"model_variant": name}), SHARE * settings.time_budget)
        for name in VARIANTS if about.image_size >= smallest_side(name)
    }
    best = max(accuracies, key=lambda name: accuracies[name])
    write_json(settings.artifact_dir / FILE_NAME, {"key": key, "val_accuracy": accuracies, "chosen": best})
    event("variant_chosen", variant=best, **{f"{name}_val_accuracy": value for name, value in accuracies.items()})
    return settings.model_copy(update={"model_variant": best})


def _known(settings: TrainSettings, key: list[Any]) -> dict[str, float] | None:
    """What an earlier run of the same training found."""
    try:
        found = json.loads((settings.artifact_dir / FILE_NAME).read_text())
        accuracies: dict[str, float] = found["val_accuracy"]
        return accuracies if found["key"] == key and accuracies.keys() <= VARIANTS.keys() else None
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _accuracy(settings: TrainSettings, seconds: float) -> float:
    """Of the best epoch of a training that may take so long, starting included."""
    started = seconds_alive()
    folder = settings.artifact_dir / AUTO
    prepared = prepare(settings.model_copy(update={
        "artifact_dir": folder, "checkpoint_bucket": "", "resume": False, "time_budget": None}), ALONE)
    plan = replace(prepared.plan, seconds=max(1.0, seconds - (seconds_alive() - started)))
    training = fit(prepared.network, prepared.photos.train, prepared.photos.val, plan, variant=prepared.variant,
                   device=prepared.device, checkpoint=prepared.checkpoint, after_epoch=lambda row: None,
                   teacher=prepared.teacher, pupil=prepared.pupil)
    prepared.checkpoint.remove()
    return training.best_row.val_accuracy
