"""Stage 3: packed photos -> model.pt, model.onnx, metrics, plots, and a recorded run."""

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from catsdogs.artifacts import Epoch, Lineage, TrainingMetrics
from catsdogs.errors import UsageError
from catsdogs.export import export
from catsdogs.files import digest_of, sha256_file
from catsdogs.machine import seconds_alive
from catsdogs.provenance import commit, versions
from catsdogs.nets.network import Network
from catsdogs.nets.plain import Plain
from catsdogs.nets.registry import build, smallest_side, variant_name
from catsdogs.packed import PackedPhotos, open_packed
from catsdogs.settings.training import TrainSettings
from catsdogs.train.batches import TrainingBatches
from catsdogs.train.calibration import fit_temperature
from catsdogs.train.checkpoint import Checkpoint
from catsdogs.train.device import Device, choose
from catsdogs.train.initial import PHOTOS, standardise
from catsdogs.train.loop import answers, fit, seconds_a_photo
from catsdogs.train.plan import Plan
from catsdogs.train.plots import plot_confusion, plot_losses
from catsdogs.train.recipe import RECIPES
from catsdogs.train.report import TestFigures, judge
from catsdogs.train.tracking import Tracker, tracked
from catsdogs.train.training import Training
from catsdogs.weights import WeightsCard, save_weights


SECONDS_AFTER = 6.0  # for calibration, export, plots and closing the run; measured 3 to 5


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    model: Path
    artifact_dir: Path
    metrics: TrainingMetrics

    def text(self) -> str:
        figures, best = self.metrics, self.metrics.best_epoch
        interval = figures.accuracy
        return "\n".join([
            f"model        {figures.model_variant}, {figures.parameters:,} parameters  -> {self.model}, model.onnx",
            f"best epoch   {best} of {len(figures.history)}, validation accuracy {figures.best_val_accuracy:.1%}",
            f"test         {interval.value:.1%} of {interval.count:,} photos "
            f"(95 % interval {interval.low:.1%} to {interval.high:.1%})",
            f"             AUC {figures.auc:.3f}, log-loss {figures.log_loss:.3f}, "
            f"calibration error {figures.expected_calibration_error:.1%}",
            f"speed        {figures.images_per_second:,.0f} images/s on {figures.device}, {figures.precision}; "
            f"input took {figures.input_share:.1%} of a step",
            f"report       {self.artifact_dir}/metrics.json, confusion_matrix.png, loss_curve.png",
        ])

    def data(self) -> dict[str, Any]:
        return {"model": str(self.model), "artifact_dir": str(self.artifact_dir)} | self.metrics.model_dump(mode="json")


def train(settings: TrainSettings) -> TrainResult:
    """Train, keep the best epoch, read the test split once, save, export and record. Raises CatsdogsError."""
    with tracked(settings.mlflow_tracking_uri, settings.mlflow_experiment) as tracker:
        variant = variant_name(settings.model_variant)
        tracker.parameters({
            "model_variant": variant, "epochs": settings.epochs, "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate, "seed": settings.seed,
        })
        _check_writable(settings.output_model.parent, settings.artifact_dir)
        return _train(settings, variant, tracker)


def _train(settings: TrainSettings, variant: str, tracker: Tracker) -> TrainResult:
    clock = _Clock()
    photos = open_packed(settings.data_dir)
    about = photos.about
    if about.image_size < smallest_side(variant):
        raise UsageError(
            f"Photos of {about.image_size} px are too small for {variant!r}: preprocess with --image-size "
            f"{smallest_side(variant)} or more."
        )
    tracker.parameters({"image_size": about.image_size, "splits_digest": about.splits_digest})
    device = choose(settings.force_cpu)
    recipe = RECIPES[variant]
    torch.manual_seed(settings.seed)
    network = build(variant, len(about.classes))
    if recipe.standardised:
        assert isinstance(network, Plain)
        standardise(network, TrainingBatches(photos.train, PHOTOS, settings.seed).get(0, 0, about.image_size)[0])
    checkpoint = Checkpoint(settings.artifact_dir, _key(settings, variant, photos, device))
    if not settings.resume:
        checkpoint.remove()
    plan = Plan(
        recipe=recipe, epochs=settings.epochs, batch_size=settings.batch_size, learning_rate=settings.learning_rate,
        seed=settings.seed, seconds=_training_seconds(settings.time_budget, network, photos, device),
    )
    clock.done("setup")

    def after_epoch(row: Epoch) -> None:
        tracker.metrics({"train_loss": row.train_loss, "val_loss": row.val_loss, "val_accuracy": row.val_accuracy},
                        step=row.epoch)

    training = fit(
        network, photos.train, photos.val, plan, smallest_side=smallest_side(variant), device=device,
        checkpoint=checkpoint, after_epoch=after_epoch,
    )
    clock.done("training")
    temperature = fit_temperature(answers(network, photos.val, device), photos.val.labels)
    figures = judge(answers(network, photos.test, device), photos.test.labels, about.classes, temperature)
    clock.done("test")

    lineage = _lineage(settings, variant, photos)
    summary = {"best_val_accuracy": training.best_row.val_accuracy, "test_accuracy": figures.accuracy.value,
               "test_loss": figures.test_loss}
    save_weights(settings.output_model, network.to("cpu"), WeightsCard(
        variant=variant, classes=about.classes, image_size=about.image_size, temperature=temperature,
        metrics=summary, lineage=lineage,
    ))
    onnx_path, difference = export(settings.output_model, photos.val)
    clock.done("export")

    metrics = _metrics(settings, variant, about.classes, training, figures, temperature, device, difference, lineage,
                       clock.seconds)
    paths = _write_report(settings.artifact_dir, metrics)
    tracker.metrics(summary)
    tracker.artifacts([settings.output_model, onnx_path, *paths])
    checkpoint.remove()
    return TrainResult(model=settings.output_model, artifact_dir=settings.artifact_dir, metrics=metrics)


def _training_seconds(
    budget: float | None, network: Network, photos: PackedPhotos, device: Device
) -> float | None:
    """What of the budget is left for steps, once the photos have been answered and the model is exported.

    Raises UsageError where that is less than half of it.
    """
    if budget is None:
        return None
    count = 2 * len(photos.val.labels) + len(photos.test.labels)
    after = SECONDS_AFTER + count * seconds_a_photo(network, photos.about.image_size, device)
    left = budget - seconds_alive() - after
    if left < budget / 2:
        raise UsageError(
            f"--time-budget {budget:g}s is too short here: {budget - left:.0f} s of it go to starting, testing and "
            f"exporting; give at least {2 * (budget - left):.0f}s."
        )
    return left


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def done(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[phase], self._last = round(now - self._last, 3), now


def _check_writable(*folders: Path) -> None:
    """Find out before hours of training, not after, that its result has no place. Raises OSError."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()


def _key(settings: TrainSettings, variant: str, photos: PackedPhotos, device: Device) -> str:
    """Digest of everything that decides the weights: a checkpoint fits only the same training."""
    return digest_of([
        variant, settings.time_budget or settings.epochs, settings.batch_size, settings.learning_rate, settings.seed,
        photos.about.splits_digest, photos.about.image_size, str(device), torch.get_num_threads(), versions(),
    ])


def _lineage(settings: TrainSettings, variant: str, photos: PackedPhotos) -> Lineage:
    about = photos.about
    return Lineage(
        manifest_digest=about.manifest_digest, splits_digest=about.splits_digest, commit=commit(), versions=versions(),
        parameters={
            "model_variant": variant, "epochs": settings.epochs, "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate, "seed": settings.seed, "image_size": about.image_size,
            "split_seed": about.seed, "train_ratio": about.train_ratio, "val_ratio": about.val_ratio,
        },
    )


def _metrics(
    settings: TrainSettings, variant: str, classes: list[str], training: Training, figures: TestFigures,
    temperature: float, device: Device, difference: float, lineage: Lineage, seconds: dict[str, float],
) -> TrainingMetrics:
    return TrainingMetrics(
        model_variant=variant,
        parameters=sum(parameter.numel() for parameter in training.network.parameters()),
        classes=classes,
        test_accuracy=figures.accuracy.value,
        **vars(figures),
        temperature=temperature,
        best_epoch=training.best_epoch,
        best_val_accuracy=training.best_row.val_accuracy,
        history=training.history,
        images_per_second=median(row.images_per_second for row in training.history),
        input_share=training.input_seconds / training.seconds,
        seconds=seconds,
        device=device.device.type,
        precision=str(device.precision).removeprefix("torch."),
        model_digest=sha256_file(settings.output_model),
        export_difference=difference,
        lineage=lineage,
    )


def _write_report(folder: Path, metrics: TrainingMetrics) -> list[Path]:
    paths = [folder / TrainingMetrics.FILE_NAME, folder / "confusion_matrix.png", folder / "loss_curve.png"]
    metrics.write(paths[0])
    plot_confusion(metrics, paths[1])
    plot_losses(metrics, paths[2])
    return paths
