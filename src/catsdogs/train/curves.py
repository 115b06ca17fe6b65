"""ROC, precision against recall, and confidence against accuracy, in one picture."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catsdogs.figures import CALIBRATION_BINS, softmax
from catsdogs.reports import TrainingMetrics
from catsdogs.train.plots import save
from catsdogs.train.ranking import Ranking


def plot_curves(
    scaled_logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], metrics: TrainingMetrics, path: Path
) -> None:
    """`scaled_logits`, float32 [n, classes], are of the test photos, divided by the temperature."""
    probabilities = softmax(scaled_logits)
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    # two classes mirror each other: one curve, of the second, says all
    shown = range(1, 2) if len(metrics.classes) == 2 else range(len(metrics.classes))
    for number in shown:
        ranking = Ranking.of(labels == number, probabilities[:, number])
        left.plot(*ranking.roc(), label=metrics.classes[number])
        middle.plot(*ranking.recall_and_precision(), label=metrics.classes[number])
    left.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    left.set(xlabel="false positive rate", ylabel="true positive rate", title=f"ROC, AUC {metrics.auc:.3f}")
    middle.set(xlabel="recall", ylabel="precision", title="precision and recall", ylim=(0, 1.03))
    _reliability(right, probabilities, labels)
    right.axvline(metrics.unsure.threshold, color="tab:red", linewidth=0.8, linestyle="--", label="unsure below")
    right.set(title=f"calibration, error {metrics.expected_calibration_error:.1%}")
    for axes in (left, middle, right):
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(f"{metrics.model_variant}, {len(labels):,} test photos", fontsize=10)
    save(figure, path)


def _reliability(axes: Axes, probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> None:
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    filled = np.unique(bins)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    axes.plot([confidence[bins == number].mean() for number in filled],
              [correct[bins == number].mean() for number in filled], marker="o", markersize=4, label="test photos")
    axes.set(xlabel="confidence", ylabel="share right", xlim=(1 / probabilities.shape[1] - 0.03, 1.02),
             ylim=(0, 1.03))
