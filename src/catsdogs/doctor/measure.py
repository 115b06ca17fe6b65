"""One photo's bytes -> a few numbers about how it looks."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from catsdogs.images import opened, upright_rgb

SIDE = 128  # photos are measured at this size, whatever theirs is, so that limits mean the same for all
FLAT_BELOW = 3  # grey levels between neighbours; noise of a camera and of JPEG is more
COLOUR_SHIFT = 5  # 8 steps a channel


@dataclass(frozen=True, kw_only=True)
class Measure:
    """All but `sharpness` and `entropy` are shares from 0 to 1."""

    digest: str
    brightness: float  # mean grey
    highlight: float  # 99th percentile of grey: a dark photo has no bright spot either
    shadow: float  # 5th percentile: an over-exposed photo has no dark spot
    contrast: float  # standard deviation of grey
    entropy: float  # bits of the grey histogram, 0 to 8
    sharpness: float  # standard deviation of the Laplacian, in grey levels, over `contrast`'s
    flat: float  # of neighbouring pixels that are equal but for FLAT_BELOW levels
    ground: float  # of pixels that have the most frequent of 512 colours
    colours: float  # of the 512 colours, those that at least one pixel in a thousand has


def measure(digest: str, data: bytes) -> Measure:
    """Raises BadImage for what is no photo."""
    with opened(data) as image:
        image.draft("RGB", (SIDE, SIDE))
        small = upright_rgb(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(small)
    grey = np.asarray(small.convert("L"), dtype=np.int16)
    low, high = np.percentile(grey, (5, 99))
    histogram = np.bincount(grey.ravel(), minlength=256) / grey.size
    used = histogram[histogram > 0]
    contrast = float(grey.std())
    laplacian = (
        4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    )
    across, down = np.abs(np.diff(grey, axis=1)), np.abs(np.diff(grey, axis=0))
    codes = (pixels >> COLOUR_SHIFT).astype(np.int32) @ np.array([64, 8, 1], dtype=np.int32)
    frequency = np.bincount(codes.ravel(), minlength=512) / codes.size
    return Measure(
        digest=digest,
        brightness=float(grey.mean()) / 255,
        highlight=float(high) / 255,
        shadow=float(low) / 255,
        contrast=contrast / 255,
        entropy=float(-(used * np.log2(used)).sum()),
        sharpness=float(laplacian.std()) / max(contrast, 1.0),
        flat=float(((across < FLAT_BELOW).mean() + (down < FLAT_BELOW).mean()) / 2),
        ground=float(frequency.max()),
        colours=float((frequency >= 0.001).mean()),
    )
