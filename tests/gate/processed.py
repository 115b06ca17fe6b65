"""A processed folder of labelled colour photos, and tiny models of different worth that answer about them."""

from pathlib import Path

import numpy as np

from catsdogs.images import encode
from catsdogs.ingest.stage import ingest
from catsdogs.preprocess.stage import preprocess
from catsdogs.settings.data import IngestSettings, PreprocessSettings
from tests.photos import write
from tests.tiny_model import CLASSES, SIZE, WEIGHTS, golden_photo, write_tiny_model


def processed_photos(folder: Path, per_class: int = 160) -> Path:
    """A third of the photos is the test split. Reddish ones are cats; sizes, brightness and noise differ."""
    generator = np.random.default_rng(11)
    for number in range(2 * per_class):
        label = number % 2
        side = int(generator.integers(SIZE, 4 * SIZE))
        noise = generator.integers(0, int(generator.integers(20, 120)), (side, side, 3)) + generator.integers(0, 60)
        noise[:, :, 2 * label] += 60
        write(folder / "raw" / CLASSES[label] / f"{number}.png", encode(noise.astype(np.uint8)))
    ingest(IngestSettings(source_dir=folder / "raw", output_dir=folder / "ingested", workers=1,
                          near_duplicate_bits=0))
    preprocess(PreprocessSettings(input_dir=folder / "ingested", output_dir=folder / "processed", image_size=SIZE,
                                  train_ratio=0.2, val_ratio=0.1, workers=1))
    return folder / "processed"


def model(folder: Path, *, flipped: bool = False, biased: float = 0.0, **card: object) -> Path:
    """model.onnx; `flipped` answers the other class, `biased` (0 to 1) leans towards cats."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = WEIGHTS[:, ::-1] if flipped else WEIGHTS
    weights = np.ascontiguousarray(weights + np.array([[biased, 0]] * 3, np.float32) / 100)
    weights = weights.astype(np.float32)
    classes = card.get("classes", CLASSES)
    named = {"golden": [golden_photo(label, weights, classes) for label in (0, 1)]} | card  # type: ignore[arg-type]
    return write_tiny_model(folder, weights=weights, **named)  # type: ignore[arg-type]
