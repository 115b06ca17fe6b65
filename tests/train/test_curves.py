"""What the curves of a training show, from answers whose curves are known."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from catsdogs.train import curves
from catsdogs.train.report import calibrate, judge


def drawn(
    logits: "np.ndarray[Any, np.dtype[np.float32]]", labels: "np.ndarray[Any, np.dtype[np.int64]]", classes: list[str],
    path: Path, monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """The figure itself: a picture of it would say nothing about its numbers."""
    kept: list[Any] = []
    save = curves.save
    monkeypatch.setattr(curves, "save", lambda figure, path: (kept.append(figure), save(figure, path)))
    figures = judge(logits, labels, classes, calibrate(logits, labels, 0.1))
    metrics: Any = SimpleNamespace(model_variant="fast", classes=classes, **vars(figures))
    curves.plot_curves(logits, labels, metrics, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    return kept[0]


def test_the_curves_of_two_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    margins = np.array([-3, -2, -1, 1, -0.5, 0.5, 2, 3], dtype=np.float32)
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])  # one cat looks like a dog, and one dog like a cat
    figure = drawn(np.stack([-margins, margins], axis=1), labels, ["cat", "dog"], tmp_path / "c.png", monkeypatch)
    roc, precision, calibration = figure.axes
    wrong, right = roc.lines[0].get_data()
    assert (0.0, 0.5) in list(zip(wrong, right, strict=True))  # both clear dogs before the first cat
    assert (0.25, 1.0) in list(zip(wrong, right, strict=True))  # all dogs for one cat of four
    assert roc.get_title() == "ROC, AUC 0.875"
    assert roc.get_legend().get_texts()[0].get_text() == "dog" and len(roc.lines) == 2  # and the diagonal
    recall, share = precision.lines[0].get_data()
    assert (1.0, 0.8) in [(float(one), round(float(other), 3)) for one, other in zip(recall, share, strict=True)]
    assert calibration.get_title().startswith("calibration, error ")


def test_each_of_three_classes_has_a_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(30) % 3
    logits = np.eye(3, dtype=np.float32)[labels] * 4
    figure = drawn(logits, labels, ["bird", "cat", "dog"], tmp_path / "c.png", monkeypatch)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["bird", "cat", "dog"]
    assert figure.axes[0].get_title() == "ROC, AUC 1.000"
