"""`catsdogs tune`: search for hyperparameters, and what to change in params.yaml by what was found."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import digest_of, write_bytes
from catsdogs.packed import open_packed
from catsdogs.provenance import code_digest, versions
from catsdogs.settings.base import explain_invalid
from catsdogs.settings.training import TrainSettings
from catsdogs.settings.tuning import TuneSettings
from catsdogs.train.auto import AUTO
from catsdogs.train.tracking.tracker import tracked
from catsdogs.train.tune.params import changed, difference, said
from catsdogs.train.tune.search import alone, forget_cut_short, open_study, search

FOREVER = 10 * 365 * 86400.0


@dataclass(frozen=True, kw_only=True)
class Tried:
    number: int
    state: str
    val_accuracy: float | None
    parameters: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TuneResult:
    trials: list[Tried]
    best: Tried
    params: Path
    diff: str
    applied: bool

    def text(self) -> str:
        rows = [f"{trial.number:>5}  {trial.state:<9}{_shown(trial.val_accuracy):>8}  " + "  ".join(
            f"{name} {value:g}" for name, value in trial.parameters.items()) for trial in _ranked(self.trials)]
        verdict = self.diff.rstrip() or f"{self.params} holds the best that was found already."
        done = [f"written to {self.params}"] if self.applied and self.diff else []
        return "\n".join(["trial  state    accuracy  of the validation split", *rows, "", verdict, *done])

    def data(self) -> dict[str, Any]:
        return asdict(self) | {"params": str(self.params)}


def tune(settings: TuneSettings) -> TuneResult:
    """Search, or go on with a search that was cut short. Raises CatsdogsError where no trial was ended, or another
    search is at work in the same folder; Stopped after SIGTERM."""
    before = _params(settings.params)
    settings = _completed(settings, before)
    if settings.model_variant == AUTO:
        raise UsageError("--model-variant auto compares networks by itself: name the one to search for.")
    changed(before, {"learning_rate": 0, "batch_size": 0}, settings.params)  # find out now, not after the search
    name, storage = _study_name(settings), f"sqlite:///{settings.artifact_dir / 'study.db'}"
    settings.artifact_dir.mkdir(parents=True, exist_ok=True)
    deadline = time.time() + (settings.time_budget or FOREVER)
    with alone(settings.artifact_dir), tracked(
            settings.mlflow_tracking_uri, settings.mlflow_experiment, settings.mlflow_wait_seconds,
            tags={"mlflow.runName": "tune"}) as tracker:
        study = open_study(storage, name, settings.seed)
        forget_cut_short(study)
        tracker.parameters({"trials": settings.trials, "model_variant": settings.model_variant,
                            "epochs": settings.epochs})
        try:
            search(settings, storage, name, tracker.run_id, deadline, settings.seed + len(study.trials))
        finally:
            forget_cut_short(study)  # of a process that was ended before it could say so
        trials = [_tried(trial) for trial in study.trials]
        ended = [trial for trial in trials if trial.state == "complete"]
        if not ended:
            raise CatsdogsError("No trial was ended: give more --trials or a longer --time-budget.")
        best = max(ended, key=lambda trial: trial.val_accuracy or 0.0)
        tracker.metrics({"best_val_accuracy": best.val_accuracy or 0.0})
    values = {"learning_rate": f"{best.parameters['learning_rate']:.3g}", "batch_size": best.parameters["batch_size"]}
    after = changed(before, values, settings.params)
    if settings.apply:
        write_bytes(settings.params, after.encode())
    return TuneResult(trials=trials, best=best, params=settings.params, applied=settings.apply,
                      diff=difference(before, after, settings.params.name))


def _params(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist: name the file of parameters with --params.") from None


def _completed(settings: TuneSettings, text: str) -> TuneSettings:
    """With what was left to the file of parameters. Raises UsageError where it says what cannot be trained."""
    there, fields = said(text, settings.params), TrainSettings.model_fields
    left = {name: there.get(name, fields[name].default) for name in ("model_variant", "epochs")
            if getattr(settings, name) is None}
    try:
        checked = TrainSettings(**left)
    except ValidationError as error:
        raise UsageError(f"{settings.params}: {explain_invalid(error)}") from None
    return settings.model_copy(update={name: getattr(checked, name) for name in left})


def _study_name(settings: TuneSettings) -> str:
    """Digest of all that makes trials comparable: others start a study of their own."""
    about = open_packed(settings.data_dir).about
    return digest_of([settings.model_variant, settings.epochs, settings.seed, settings.precision, settings.force_cpu,
                      about.splits_digest, about.image_size, code_digest(), versions()])


def _tried(trial: Any) -> Tried:
    parameters = dict(trial.params)
    if "learning_rate" in parameters:
        parameters["learning_rate"] = float(f"{parameters['learning_rate']:.3g}")
    return Tried(number=trial.number, state=trial.state.name.lower(), val_accuracy=trial.value, parameters=parameters)


def _ranked(trials: list[Tried]) -> list[Tried]:
    return sorted(trials, key=lambda trial: (trial.state != "complete", -(trial.val_accuracy or 0.0), trial.number))


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
