"""Schemas of the figures that stages report."""

from typing import ClassVar

from catsdogs.artifacts import Document, Lineage
from catsdogs.names import METRICS


class Interval(Document):
    """A share with its 95 % Wilson score interval (Wilson 1927)."""

    value: float
    low: float
    high: float
    count: int


class ClassReport(Document):
    precision: float
    recall: float
    count: int


class Unsure(Document):
    """What it means to answer only from a confidence on."""

    threshold: float  # chosen on the validation split
    target_error: float
    share_unsure: float  # of the test photos
    error: Interval | None  # among the others; None where there are none


class Mirrored(Document):
    """What the mean of the logits of a photo and its mirror image would reach, at twice the cost of an answer."""

    accuracy: Interval
    log_loss: float  # after the temperature of single answers


class Epoch(Document):
    """One pass over the training photos, and what it led to on the validation split."""

    epoch: int  # from 1
    train_loss: float
    val_loss: float
    val_accuracy: float
    images_per_second: float
    seconds: float = 0.0  # since the training began


class TrainingMetrics(Document):
    """`metrics.json`: what one training reached. Figures are of the test split unless they say otherwise."""

    FILE_NAME: ClassVar[str] = METRICS

    model_variant: str
    parameters: int
    classes: list[str]
    test_accuracy: float
    accuracy: Interval
    test_loss: float  # cross-entropy of the network's own probabilities
    log_loss: float  # the same after the temperature
    auc: float  # binary; the mean of one against the rest for more classes
    expected_calibration_error: float  # 15 bins, after the temperature
    temperature: float
    mirrored: Mirrored | None = None
    majority_share: float  # accuracy of always answering the most frequent class
    per_class: dict[str, ClassReport]
    slices: dict[str, Interval]  # accuracy by class, and by thirds of size, brightness and sharpness
    unsure: Unsure
    confusion: list[list[int]]  # row: what the photo is, column: what was answered
    best_epoch: int
    best_val_accuracy: float
    history: list[Epoch]
    images_per_second: float  # median of the epochs
    input_share: float  # of the time of a step, spent on reading and augmenting photos
    seconds: dict[str, float]  # phase -> duration
    device: str
    precision: str
    model_digest: str
    export_difference: float
    lineage: Lineage
