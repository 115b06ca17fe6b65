"""What the network looked at, as numbers and as a picture."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from catsdogs.compiled import Floats
from catsdogs.images import MAX_PIXELS, opened, upright_rgb
from catsdogs.predictor import Prediction

LONGEST_SIDE = 512  # of the picture; encoding a larger one takes longer than the prediction
FOR, AGAINST = (255, 122, 0), (40, 110, 255)  # orange for the label, blue against it: apart for the colour-blind too
OPACITY = 0.75


@dataclass(frozen=True)
class Explanation:
    prediction: Prediction
    grid: Floats  # [height, width], -1 to 1
    strength: float  # by what the grid was divided
    png: bytes | None


def explained(
    prediction: Prediction, evidence: Floats, photo: bytes | None, max_pixels: int = MAX_PIXELS
) -> Explanation:
    """Scale the evidence to at most 1, and lay it over the encoded photo where there is one. Raises BadImage."""
    strength = float(np.abs(evidence).max())
    grid = (evidence / strength if strength > 0 else evidence).astype(np.float32)
    return Explanation(prediction, grid, strength, overlay(photo, grid, max_pixels) if photo else None)


def overlay(photo: bytes, grid: Floats, max_pixels: int = MAX_PIXELS) -> bytes:
    """PNG of the upright photo, at most 512 pixels a side, coloured by a grid of -1 to 1. Raises BadImage:
    of a very long photo, too, that is decoded at its full size for it and takes more memory than allowed."""
    with opened(photo, max_pixels, LONGEST_SIDE) as image:
        image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
        base = upright_rgb(image)
    base.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    heat = np.asarray(Image.fromarray(grid * np.float32(255 * OPACITY)).resize(base.size, Image.Resampling.BICUBIC))
    for colour, strength in ((FOR, heat), (AGAINST, -heat)):
        base.paste(colour, mask=Image.fromarray(strength.clip(0, 255).astype(np.uint8)))
    buffer = io.BytesIO()
    base.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
