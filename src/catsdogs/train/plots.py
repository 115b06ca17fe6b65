"""The two plots that the specification asks for. Figures are drawn without pyplot: no global state, no display."""

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from catsdogs.reports import TrainingMetrics
from catsdogs.files import write_bytes

DPI = 150
LONG_NAME = 10  # characters that fit below a cell


def plot_confusion(metrics: TrainingMetrics, path: Path) -> None:
    """Counts and shares of each true class; the colour is the share."""
    counts = np.array(metrics.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(metrics.classes)
    figure = Figure(figsize=(3.2 + 0.9 * size, 2.8 + 0.8 * size), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(size):
        for column in range(size):
            axes.text(column, row, f"{counts[row, column]:,}\n{shares[row, column]:.1%}", ha="center", va="center",
                      color="white" if shares[row, column] > 0.55 else "black")
    slanted = max(map(len, metrics.classes)) > LONG_NAME
    axes.set_xticks(range(size), metrics.classes, rotation=45 if slanted else 0, ha="right" if slanted else "center",
                    rotation_mode="anchor")
    axes.set_yticks(range(size), metrics.classes)
    axes.set(xlabel="predicted class", ylabel="true class")
    interval = metrics.accuracy
    axes.set_title(f"{metrics.model_variant}: {interval.value:.1%} of {interval.count:,} test photos\n"
                   f"95 % interval {interval.low:.1%} to {interval.high:.1%}", fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    save(figure, path)


def plot_losses(metrics: TrainingMetrics, path: Path) -> None:
    """Training and validation loss, and validation accuracy, by epoch; the best epoch is marked."""
    save(losses(metrics), path)


def losses(metrics: TrainingMetrics) -> Figure:
    epochs = [row.epoch for row in metrics.history]
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [row.train_loss for row in metrics.history], marker="o", markersize=3, label="training")
    left.plot(epochs, [row.val_loss for row in metrics.history], marker="o", markersize=3, label="validation")
    left.set(xlabel="epoch", ylabel="cross-entropy", title="loss")
    left.legend(frameon=False)
    right.plot(epochs, [100 * row.val_accuracy for row in metrics.history], marker="o", markersize=3, color="tab:green")
    right.set(xlabel="epoch", ylabel="% right", title="validation accuracy")
    for axes in (left, right):
        axes.axvline(metrics.best_epoch, color="grey", linewidth=0.8, linestyle=":")
        axes.set_xlim(0.7, epochs[-1] + 0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))  # 1: a single epoch is one tick
        axes.grid(alpha=0.25)
    figure.suptitle(f"{metrics.model_variant}, best epoch {metrics.best_epoch}", fontsize=10)
    return figure


def save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    write_bytes(path, buffer.getvalue())
