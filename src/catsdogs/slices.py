"""Kinds of photos that a model may fail on although it does well on average."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from catsdogs.artifacts import SplitRow
from catsdogs.images import Pixels
from catsdogs.log import event
from catsdogs.packed import Packed

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]
KINDS = {"pixels": ("small", "medium", "large"), "brightness": ("dark", "medium", "bright"),
         "sharpness": ("soft", "medium", "sharp")}


def slices_of(photos: Packed, data_dir: Path) -> dict[str, Mask]:
    """Name -> which photos of a split of `data_dir` belong to it: by class, size, brightness and sharpness."""
    if not photos.rows:
        return {}
    values = look(photos.pixels)
    try:
        values["pixels"] = pixel_counts(photos.rows, data_dir)
    except OSError as error:
        event("no_slices_by_size", because=f"an ingested photo cannot be read: {error}")
    return by_class([row.label for row in photos.rows]) | by_thirds(values)


def by_class(truth: Sequence[str]) -> dict[str, Mask]:
    return {label: np.array([each == label for each in truth]) for label in sorted(set(truth))}


def by_thirds(values: dict[str, Values]) -> dict[str, Mask]:
    """The lowest, middle and highest third of each value; none where most photos have the same."""
    found: dict[str, Mask] = {}
    for kind, of in values.items():
        low, high = np.quantile(of, (1 / 3, 2 / 3))
        if not of.min() < low < high < of.max():
            continue
        parts = (of <= low, (of > low) & (of <= high), of > high)
        found |= {f"{name} {kind}" if kind != "pixels" else f"{name} photos": part
                  for name, part in zip(KINDS[kind], parts, strict=True)}
    return found


def look(pixels: Pixels) -> dict[str, Values]:
    """Brightness and sharpness of prepared photos, uint8 [n, side, side, 3]: float [n] each.

    Sharpness is the standard deviation of the Laplacian over that of grey, so that contrast alone is not sharpness.
    """
    brightness, sharpness = [], []
    for photo in pixels:
        grey = photo.mean(axis=2, dtype=np.float32)
        laplacian = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
        brightness.append(float(grey.mean()))
        sharpness.append(float(laplacian.std() / max(grey.std(), 1.0)))
    return {"brightness": np.array(brightness), "sharpness": np.array(sharpness)}


def pixel_counts(rows: Sequence[SplitRow], data_dir: Path) -> Values:
    """Pixels of the original photos, from their headers. Raises OSError where one is gone."""
    counts = []
    for row in rows:
        with Image.open(data_dir / row.original) as image:
            counts.append(image.width * image.height)
    return np.array(counts, np.float64)
