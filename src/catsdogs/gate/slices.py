"""Kinds of photos that a model may fail on although it does well on average."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from catsdogs.images import Pixels

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]
KINDS = {"pixels": ("small", "medium", "large"), "brightness": ("dark", "medium", "bright"),
         "sharpness": ("soft", "medium", "sharp")}


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
