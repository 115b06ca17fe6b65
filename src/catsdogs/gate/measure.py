"""Asks a model file about the test photos. Imports no torch."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from catsdogs.artifacts import SplitRow
from catsdogs.compiled import Floats
from catsdogs.errors import BadImage, CatsdogsError
from catsdogs.gate.judge import Answered
from catsdogs.images import Pixels, prepare
from catsdogs.machine import cores
from catsdogs.packed import PackedPhotos
from catsdogs.predictor import Predictor

CHUNK = 64
WARM_UPS, ROUNDS = 5, 60
REPAIR = "run `catsdogs ingest` and `catsdogs preprocess` again"


def answers(predictor: Predictor, photos: PackedPhotos, data_dir: Path) -> Floats:
    """Probabilities of the test photos, float32 [n, classes]. The packed pixels serve a model of their size; for one
    of another size the original photos are prepared. Raises CatsdogsError where one of those is missing.
    """
    size, rows = predictor.card.image_size, photos.test.rows
    found = []
    with ThreadPoolExecutor(cores()) as pool:  # decoding releases the interpreter
        for start in range(0, len(rows), CHUNK):
            if size == photos.about.image_size:
                pixels = photos.test.pixels[start:start + CHUNK]
            else:
                pixels = np.stack(list(pool.map(lambda row: _prepared(data_dir, row, size), rows[start:start + CHUNK])))
            found.append(predictor.probabilities(pixels))
    return np.concatenate(found) if found else np.zeros((0, len(predictor.card.classes)), np.float32)


def latencies(predictors: Sequence[Predictor]) -> list[float]:
    """Median milliseconds a photo of each, run in turns, so that what else the machine does meets them alike."""
    photos = [np.full((1, each.card.image_size, each.card.image_size, 3), 127, np.uint8) for each in predictors]
    taken: list[list[float]] = [[] for _ in predictors]
    for number in range(WARM_UPS + ROUNDS):
        for place, (each, photo) in enumerate(zip(predictors, photos, strict=True)):
            started = perf_counter()
            each.probabilities(photo)
            if number >= WARM_UPS:
                taken[place].append(1000 * (perf_counter() - started))
    return [median(times) for times in taken]


def answered(predictor: Predictor, probabilities: Floats, path: Path, latency_ms: float) -> Answered:
    card = predictor.card
    return Answered(
        name=str(path), version=card.version, model_digest=card.model_digest, commit=card.lineage.commit,
        classes=card.classes, labels=[card.classes[best] for best in probabilities.argmax(axis=1)],
        confidence=probabilities.max(axis=1).astype(np.float64), latency_ms=latency_ms,
        megabytes=path.with_suffix(".onnx").stat().st_size / 1e6,
    )


def _prepared(data_dir: Path, row: SplitRow, size: int) -> Pixels:
    try:
        return prepare((data_dir / row.original).read_bytes(), size)
    except FileNotFoundError:
        raise CatsdogsError(f"The ingested photo {data_dir / row.original} is missing: {REPAIR}.") from None
    except BadImage as error:
        raise CatsdogsError(f"The ingested photo {data_dir / row.original} cannot be prepared ({error}): drop it in "
                            f"fixes.yaml, and {REPAIR}."
                            ) from None
