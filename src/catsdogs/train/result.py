"""What a training says at its end."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catsdogs.reports import Interval, TrainingMetrics


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    model: Path
    artifact_dir: Path
    metrics: TrainingMetrics

    def text(self) -> str:
        figures, best = self.metrics, self.metrics.best_epoch
        interval, unsure = figures.accuracy, figures.unsure
        worst = min(figures.slices, key=lambda name: figures.slices[name].value, default=None)
        return "\n".join([
            f"model        {figures.model_variant}, {figures.parameters:,} parameters  -> {self.model}, model.onnx",
            f"best epoch   {best} of {figures.history[-1].epoch}, validation accuracy {figures.best_val_accuracy:.1%}",
            f"test         {interval.value:.1%} of {interval.count:,} photos "
            f"(95 % interval {interval.low:.1%} to {interval.high:.1%})",
            f"             AUC {figures.auc:.3f}, log-loss {figures.log_loss:.3f}, "
            f"calibration error {figures.expected_calibration_error:.1%}",
            *([f"mirrored     {figures.mirrored.accuracy.value:.1%}, log-loss {figures.mirrored.log_loss:.3f}: the "
               "mean with the mirror image, which is not what is served"] if figures.mirrored else []),
            *([f"worst part   {figures.slices[worst].value:.1%} of {figures.slices[worst].count:,}: {worst}"]
              if worst is not None else []),
            *([f"beware       no better than always answering one class ({figures.majority_share:.1%}): look at the "
               "labels with `catsdogs doctor --labels`"] if interval.low <= figures.majority_share else []),
            f"unsure       {unsure.share_unsure:.1%} of the photos below a confidence of {unsure.threshold:.2f}; "
            f"of the others {_percent(unsure.error)} wrong",
            f"speed        {figures.images_per_second:,.0f} images/s on {figures.device}, {figures.precision}; "
            f"input took {figures.input_share:.1%} of a step",
            f"report       {self.artifact_dir}/metrics.json, confusion_matrix.png, loss_curve.png, curves.png",
        ])

    def data(self) -> dict[str, Any]:
        return {"model": str(self.model), "artifact_dir": str(self.artifact_dir)} | self.metrics.model_dump(mode="json")


@dataclass(frozen=True)
class Helped:
    """What a process that torchrun started beside the first one has to say: nothing."""

    def text(self) -> str:
        return ""

    def data(self) -> dict[str, Any]:
        return {}


def _percent(interval: Interval | None) -> str:
    return "none" if interval is None else f"{interval.value:.1%}"
