"""A small real model: the real network, trained for a second on photos that differ in colour."""

from collections import Counter
from pathlib import Path

import numpy as np
import torch

from catsdogs.artifacts import SPLIT_NAMES, Lineage, Preprocessed, SplitRow
from catsdogs.export import export
from catsdogs.images import PREPARATION
from catsdogs.nets.plain import Plain
from catsdogs.nets.registry import build
from catsdogs.packed import Packed, PackedPhotos
from catsdogs.settings.training import TrainSettings
from catsdogs.train.device import Device
from catsdogs.train.initial import standardise
from catsdogs.train.loop import fit
from catsdogs.train.plan import Plan
from catsdogs.train.recipe import RECIPES
from catsdogs.train.training import Training
from catsdogs.weights import WeightsCard, save_weights

SIZE = 16
CLASSES = ["cat", "dog"]
CPU = Device(torch.device("cpu"), torch.float32)
LINEAGE = Lineage(manifest_digest="m", splits_digest="s", parameters={"epochs": 1}, commit=None, versions={})


class NoCheckpoint:
    """Keeps nothing; counts what it was given."""

    def __init__(self) -> None:
        self.saved: list[dict[str, object]] = []

    def load(self) -> None:
        return None

    def save(self, state: dict[str, object]) -> None:
        self.saved.append(state)


def colour_photo(label: int, seed: int) -> np.ndarray:
    """uint8 [16, 16, 3]: noise, brighter in red for class 0 and in blue for class 1."""
    pixels = np.random.default_rng(seed).integers(0, 150, (SIZE, SIZE, 3))
    pixels[:, :, 2 * label] += 100
    return pixels.astype(np.uint8)


def _split(name: str, count: int, first: int) -> Packed:
    labels = np.repeat(np.arange(2), count)
    pixels = np.stack([colour_photo(int(label), first + number) for number, label in enumerate(labels)])
    rows = [
        SplitRow(digest=f"{first + number:064x}", split=name, label=CLASSES[label], group="g", path="p", original="o")
        for number, label in enumerate(labels)
    ]
    return Packed(pixels, labels.astype(np.int64), rows)


def colour_photos(train: int = 40, val: int = 12, test: int = 12) -> PackedPhotos:
    """Photos in memory, `train`, `val` and `test` of each class."""
    splits = {name: _split(name, count, 1000 * number) for number, (name, count) in enumerate(
        zip(SPLIT_NAMES, (train, val, test), strict=True))}
    about = Preprocessed(
        classes=CLASSES, image_size=SIZE, preparation=PREPARATION, seed=1, train_ratio=0.6, val_ratio=0.2,
        manifest_digest="m", splits_digest="s",
        counts={name: dict(Counter(row.label for row in split.rows)) for name, split in splits.items()},
    )
    return PackedPhotos(about, **splits)


def trained(
    photos: PackedPhotos, epochs: int = 3, *, variant: str = "baseline", batch_size: int = 16,
    learning_rate: float = 0.003, seed: int = 1, seconds: float | None = None, standardised: bool = True,
    **options: object,
) -> Training:
    torch.manual_seed(1)
    network = build(variant, 2)
    if standardised and isinstance(network, Plain):
        standardise(network, torch.from_numpy(photos.train.pixels))
    plan = Plan(recipe=RECIPES[variant], epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed,
                seconds=seconds)
    named = {"device": CPU, "checkpoint": NoCheckpoint(), "after_epoch": lambda row: None} | options
    state = named["checkpoint"].load()  # type: ignore[attr-defined]
    return fit(network, photos.train, photos.val, plan, variant=variant, state=state, **named)  # type: ignore[arg-type]


def write_model(folder: Path, photos: PackedPhotos) -> Path:
    path = folder / "model.pt"
    card = WeightsCard(variant="baseline", classes=CLASSES, image_size=SIZE, temperature=1.2,
                       metrics={"test_accuracy": 1.0}, lineage=LINEAGE)
    save_weights(path, trained(photos).network, card)
    export(path, photos.val, seen=photos.train)
    return path


def train_settings(data_dir: Path, folder: Path, **options: object) -> TrainSettings:
    named = {"epochs": 2, "batch_size": 16, "mlflow_tracking_uri": "none", "force_cpu": True} | options
    return TrainSettings(data_dir=data_dir, output_model=folder / "models" / "model.pt",
                         artifact_dir=folder / "artifacts", **named)  # type: ignore[arg-type]
