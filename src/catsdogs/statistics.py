"""Plain statistics of prepared pixels: light, colour, and edges at several scales, mostly in logarithms.

On real photos they tell charts, text, noise and blank pages where a network's features let many of them pass. In
numpy and not in the network: there they doubled the time of an answer. Sums are products with ones, and means of
blocks sums of rows or products with a matrix: 0.115 ms a photo of 128 px, 0.20 with numpy's own means.
"""

from functools import cache
from math import log, sqrt

import numpy as np
import numpy.typing as npt

from catsdogs.images import Pixels

GREY_STEP = 1.5 / 255  # neighbours that differ by less are of the same grey
CELLS = 8
SCALES = 4

Floats = npt.NDArray[np.float32]


def statistics(pixels: Pixels) -> Floats:
    """uint8 [side, side, 3] -> float32 [18], fewer where the side is less than 16."""
    side = len(pixels)
    red, green, blue = (pixels[:, :, channel].astype(np.float32) for channel in range(3))
    total = red + green + blue
    grey = total * np.float32(1 / 765)
    tint = sum(_mean(_absolute(channel * np.float32(3) - total)) for channel in (red, green, blue)) / (9 * 255)
    light, dark = np.count_nonzero(grey > 0.97) / grey.size, np.count_nonzero(grey < 0.03) / grey.size
    mean = _mean(grey)
    away = grey - np.float32(mean)
    across, down = _edges(grey)
    flat = (np.count_nonzero(across < GREY_STEP) + np.count_nonzero(down < GREY_STEP)) / (across.size + down.size)
    blocks = _blocks(side - 1, max(1, (side - 1) // CELLS))
    cells = np.log(blocks @ (across[1:] + down[:, 1:]) @ blocks.T + 0.004)
    values = [
        mean, log(sqrt(np.vdot(away, away) / grey.size) + 0.01), log(tint + 0.003), log(light + 0.01),
        log(dark + 0.01), log(flat + 0.01), log(1.01 - flat), cells.std(), cells.min(), cells.max(),
    ]
    scales = min(SCALES, side.bit_length() - 2)  # the last one is 2 pixels wide or more
    for scale in range(scales):
        if scale:
            grey = _halved(grey)
            across, down = _edges(grey)
        gradient = _mean(across) + _mean(down)
        square = np.vdot(across, across) / across.size + np.vdot(down, down) / down.size
        values += [log(gradient + 0.002), log((square + 1e-5) / (gradient * gradient / 2 + 1e-5))]
    return np.array(values, np.float32)


def _mean(values: Floats) -> float:
    return float(np.dot(values.reshape(-1), _ones(values.size))) / values.size


def _absolute(values: Floats) -> Floats:
    return np.abs(values, out=values)


def _edges(grey: Floats) -> tuple[Floats, Floats]:
    return _absolute(grey[:, 1:] - grey[:, :-1]), _absolute(grey[1:] - grey[:-1])


def _halved(values: Floats) -> Floats:
    """Means of blocks of 2 x 2; what is left at the borders is dropped."""
    rows, columns = (length // 2 * 2 for length in values.shape)
    summed = values[0:rows:2, :columns] + values[1:rows:2, :columns]
    halved: Floats = summed[:, ::2] + summed[:, 1::2]
    halved *= np.float32(0.25)
    return halved


@cache
def _ones(count: int) -> Floats:
    return np.ones(count, np.float32)


@cache
def _blocks(length: int, step: int) -> Floats:
    """The matrix [length // step, length] that makes means of `step` neighbours each."""
    blocks = np.kron(np.eye(length // step, dtype=np.float32), np.full(step, 1 / step, np.float32))
    return np.pad(blocks, ((0, 0), (0, length - blocks.shape[1])))
