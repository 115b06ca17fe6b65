"""Stage 3: packed photos -> model.pt, model.onnx, metrics, plots, and a recorded run."""

import time
from pathlib import Path
from statistics import median

import torch

from catsdogs.answering import Answering
from catsdogs.artifacts import Lineage
from catsdogs.errors import UsageError
from catsdogs.export import export
from catsdogs.files import remove_abandoned, sha256_file, sync
from catsdogs.log import event
from catsdogs.nets.quantised.served import served
from catsdogs.nets.quantised.learning import learn_integers
from catsdogs.nets.registry import variant_name
from catsdogs.provenance import commit, versions
from catsdogs.reports import Epoch, Mirrored, TrainingMetrics
from catsdogs.settings.training import TrainSettings
from catsdogs.slices import slices_of
from catsdogs.train.auto import AUTO, chosen
from catsdogs.train.curves import plot_curves
from catsdogs.train.device import Device
from catsdogs.train.interruption import Stopped
from catsdogs.train.loop import fit
from catsdogs.train.memory import enough_memory
from catsdogs.train.plots import plot_confusion, plot_losses
from catsdogs.train.prepare import Prepared, prepare
from catsdogs.train.processes import Processes, joined
from catsdogs.train.report import TestFigures, calibrate, judge, judge_mirrored
from catsdogs.train.reserve import lasts
from catsdogs.train.result import Helped, TrainResult
from catsdogs.train.tracking.tracker import NullTracker, Tracker, tracked
from catsdogs.train.training import Training
from catsdogs.weights import WeightsCard, save_weights

CURVES = "curves.png"
STEP_SECONDS = 2.0  # between points of the live curves


def train(settings: TrainSettings) -> TrainResult | Helped:
    """Train, keep the best epoch, read the test split once, save, export and record. Raises CatsdogsError."""
    with enough_memory(settings.batch_size), \
            joined(on_gpu=torch.cuda.is_available() and not settings.force_cpu) as processes:
        if not processes.first:
            _fit(prepare(settings, processes), NullTracker(), processes)
            return Helped()
        with tracked(settings.mlflow_tracking_uri, settings.mlflow_experiment,
                     settings.mlflow_wait_seconds) as tracker:
            return _train(settings, tracker, processes)


def _train(settings: TrainSettings, tracker: Tracker, processes: Processes) -> TrainResult:
    if processes.count > 1 and settings.model_variant == AUTO:
        raise UsageError("--model-variant auto compares networks in one process: start without torchrun, or name one.")
    _check_name(settings.output_model)
    _check_writable(settings.output_model.parent, settings.artifact_dir)
    remove_abandoned(settings.output_model)
    settings, compared = chosen(settings)
    tracker.parameters({
        "model_variant": variant_name(settings.model_variant), "epochs": settings.epochs,
        "batch_size": settings.batch_size, "learning_rate": settings.learning_rate, "seed": settings.seed,
        "time_budget": settings.time_budget, "teacher": settings.teacher,
    })
    clock = _Clock()
    prepared = prepare(settings, processes, taken=compared)
    photos, network, device, about = prepared.photos, prepared.network, prepared.device, prepared.photos.about
    tracker.parameters({"image_size": about.image_size, "splits_digest": about.splits_digest,
                        "reduction": network.reduction})
    tracker.photos(settings.data_dir.name, about.splits_digest, about.counts)
    clock.done("setup")
    training = _fit(prepared, tracker, processes)
    clock.done("training")
    network.to("cpu")  # where it is served
    if settings.quantise:
        learn_integers(network, photos.train.pixels, photos.val.pixels)
    answering = Answering(served(network), about.image_size, exact=device.exact)  # all figures are of what is served
    calibration = calibrate(answering.logits(photos.val.pixels), photos.val.labels, settings.target_error)
    started = time.perf_counter()
    test_logits = answering.logits(photos.test.pixels)
    taken = time.perf_counter() - started
    figures = judge(test_logits, photos.test.labels, about.classes, calibration,
                    slices_of(photos.test, settings.data_dir))
    mirrored = None
    if lasts(settings.time_budget, taken, photos):
        mirrored = judge_mirrored(test_logits, answering.logits(photos.test.pixels, mirrored=True),
                                  photos.test.labels, calibration)
    else:
        event("mirrored_left_out", because="--time-budget is nearly over")
    clock.done("test")

    lineage = _lineage(settings, prepared, network.reduction)
    summary = {"best_val_accuracy": training.best_row.val_accuracy, "test_accuracy": figures.accuracy.value,
               "test_loss": figures.test_loss}
    save_weights(settings.output_model, network, WeightsCard(
        variant=prepared.variant, classes=about.classes, image_size=about.image_size, description=network.description,
        temperature=calibration.temperature, unsure_below=calibration.unsure_below, metrics=summary, lineage=lineage,
    ))
    onnx_path, difference = export(settings.output_model, photos.val, seen=photos.train, answering=answering)
    clock.done("export")

    metrics = _metrics(settings, prepared.variant, about.classes, training, figures, mirrored, calibration.temperature,
                       device, difference, lineage, clock.seconds)
    paths = _write_report(settings.artifact_dir, metrics)
    plot_curves(test_logits / calibration.temperature, photos.test.labels, metrics, settings.artifact_dir / CURVES)
    tracker.metrics(summary)
    tracker.artifacts([settings.output_model, onnx_path, *paths, settings.artifact_dir / CURVES])
    for path in (settings.output_model, onnx_path, *paths, settings.output_model.parent, settings.artifact_dir):
        sync(path)  # or a power cut might take both the model and the checkpoint that it could be made from again
    if settings.keep_checkpoint:
        prepared.checkpoint.close()
    else:
        prepared.checkpoint.remove()
    return TrainResult(model=settings.output_model, artifact_dir=settings.artifact_dir, metrics=metrics)


def _fit(prepared: Prepared, tracker: Tracker, processes: Processes) -> Training:
    def after_epoch(row: Epoch) -> None:
        tracker.metrics({"train_loss": row.train_loss, "val_loss": row.val_loss, "val_accuracy": row.val_accuracy},
                        step=row.epoch)

    last = -STEP_SECONDS

    def after_step(steps: int, loss: float, images_per_second: float) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= STEP_SECONDS:
            last = now
            tracker.metrics({"step_loss": loss, "step_images_per_second": images_per_second}, step=steps)

    try:
        return fit(
            prepared.network, prepared.photos.train, prepared.photos.val, prepared.plan, variant=prepared.variant,
            device=prepared.device, checkpoint=prepared.checkpoint, after_epoch=after_epoch, after_step=after_step,
            processes=processes, teacher=prepared.teacher, pupil=prepared.pupil, state=prepared.state,
        )
    except Stopped as stopped:
        prepared.checkpoint.close(stopped.seconds_left())
        raise
    except BaseException:  # well ended, nothing needs to be waited for: the checkpoint is removed after the export
        prepared.checkpoint.close()
        raise


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def done(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[phase], self._last = round(now - self._last, 3), now


def _check_name(path: Path) -> None:
    """Raises UsageError for weights that could not be written, or that model.onnx would take the place of."""
    if path.is_dir() or path.suffix == ".onnx":
        what = "is a folder" if path.is_dir() else "would be overwritten by the model that is exported from it"
        raise UsageError(f"--output-model {path} {what}: name a file such as "
                         f"{(path / 'model.pt') if path.is_dir() else path.with_suffix('.pt')}.")


def _check_writable(*folders: Path) -> None:
    """Find out before hours of training, not after, that its result has no place. Raises OSError."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another training in this folder may have been faster


def _lineage(settings: TrainSettings, prepared: Prepared, reduction: int) -> Lineage:
    about = prepared.photos.about
    return Lineage(
        manifest_digest=about.manifest_digest, splits_digest=about.splits_digest, commit=commit(), versions=versions(),
        parameters={
            "model_variant": prepared.variant, "epochs": settings.epochs, "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate, "seed": settings.seed, "time_budget": settings.time_budget,
            "teacher": settings.teacher or None, "image_size": about.image_size,
            "precision": prepared.device.arithmetic, "quantise": settings.quantise,
            **({"reduction": reduction} if reduction > 1 else {}),
            "split_seed": about.seed, "train_ratio": about.train_ratio, "val_ratio": about.val_ratio,
        },
    )


def _metrics(
    settings: TrainSettings, variant: str, classes: list[str], training: Training, figures: TestFigures,
    mirrored: Mirrored | None, temperature: float, device: Device, difference: float, lineage: Lineage,
    seconds: dict[str, float],
) -> TrainingMetrics:
    return TrainingMetrics(
        model_variant=variant,
        parameters=sum(parameter.numel() for parameter in training.network.parameters()),
        classes=classes,
        test_accuracy=figures.accuracy.value,
        **vars(figures),
        mirrored=mirrored,
        temperature=temperature,
        best_epoch=training.best_epoch,
        best_val_accuracy=training.best_row.val_accuracy,
        history=training.history,
        images_per_second=median(row.images_per_second for row in training.history),
        input_share=training.input_seconds / training.step_seconds,
        seconds=seconds,
        device=device.device.type,
        precision=device.arithmetic,
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
