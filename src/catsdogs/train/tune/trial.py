"""One trial: a training with hyperparameters that the study suggests, judged on the validation split only."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from catsdogs.reports import Epoch
from catsdogs.settings.training import TrainSettings
from catsdogs.settings.tuning import TuneSettings
from catsdogs.train.keeper import Diverged
from catsdogs.train.loop import fit
from catsdogs.train.memory import OutOfMemory, enough_memory
from catsdogs.train.prepare import prepare
from catsdogs.train.processes import ALONE
from catsdogs.train.tracking.tracker import CutShort, Tracker, tracked

RATES = (3e-4, 1e-2)  # of --learning-rate, on a logarithmic scale
BATCHES = (32, 64, 128, 256)


class OutOfTime(CutShort):
    """The time of the whole search is over; what the trial reached so far does not count."""


class GivenUp(CutShort):
    """The study expects nothing of it any more."""


def objective(settings: TuneSettings, parent: str | None, deadline: float) -> Callable[[Any], float]:
    """What the study maximises: the best validation accuracy of a training."""

    def run(trial: Any) -> float:
        return _run(settings, parent, deadline, trial)

    return run


def suggested(trial: Any) -> dict[str, Any]:
    return {
        "learning_rate": float(f"{trial.suggest_float('learning_rate', *RATES, log=True):.3g}"),
        "batch_size": trial.suggest_categorical("batch_size", BATCHES),
    }


def _run(settings: TuneSettings, parent: str | None, deadline: float, trial: Any) -> float:
    import optuna

    values = suggested(trial)
    folder = settings.artifact_dir / "trials" / str(trial.number)
    training = _training_settings(settings, values, folder)
    tags = {"mlflow.parentRunId": parent} if parent else {}
    name = f"trial {trial.number}"
    try:
        with tracked(settings.mlflow_tracking_uri, settings.mlflow_experiment, settings.mlflow_wait_seconds,
                     tags={**tags, "mlflow.runName": name}) as tracker:
            return _reached(settings, training, trial, tracker, deadline)
    except (GivenUp, Diverged, OutOfMemory) as error:  # by these values: a bad trial, not the end of the search
        trial.set_user_attr("because", str(error))
        raise optuna.TrialPruned from None
    finally:
        shutil.rmtree(folder)  # only its checkpoints


def _reached(settings: TuneSettings, training: TrainSettings, trial: Any, tracker: Tracker, deadline: float) -> float:
    """Validation accuracy of the best epoch. Raises GivenUp, OutOfTime, and whatever ends a training."""
    tracker.parameters({"learning_rate": training.learning_rate, "batch_size": training.batch_size,
                        "model_variant": training.model_variant, "epochs": training.epochs, "trial": trial.number})

    def after_epoch(row: Epoch) -> None:
        tracker.metrics({"val_loss": row.val_loss, "val_accuracy": row.val_accuracy}, step=row.epoch)
        trial.report(row.val_accuracy, row.epoch)
        if trial.should_prune():
            raise GivenUp("worse than most at this point")

    def after_step(steps: int, loss: float, images_per_second: float) -> None:
        if time.time() > deadline:
            raise OutOfTime

    with enough_memory(training.batch_size):
        prepared = prepare(training, ALONE)
        result = fit(prepared.network, prepared.photos.train, prepared.photos.val, prepared.plan,
                     variant=prepared.variant, device=prepared.device, checkpoint=prepared.checkpoint,
                     after_epoch=after_epoch, after_step=after_step)
    reached = result.best_row.val_accuracy
    tracker.metrics({"best_val_accuracy": reached})
    return reached


def _training_settings(settings: TuneSettings, values: dict[str, Any], folder: Path) -> TrainSettings:
    assert settings.epochs is not None and settings.model_variant is not None  # `tune` has completed them
    folder.mkdir(parents=True, exist_ok=True)
    return TrainSettings(
        data_dir=settings.data_dir, artifact_dir=folder, output_model=folder / "model.pt", epochs=settings.epochs,
        model_variant=settings.model_variant, seed=settings.seed, force_cpu=settings.force_cpu,
        precision=settings.precision, resume=False, mlflow_tracking_uri="none", **values,
        # What the environment says of trainings is not of trials.
        time_budget=None, checkpoint_bucket="", teacher="", require_gpu=False, keep_checkpoint=False,
    )
