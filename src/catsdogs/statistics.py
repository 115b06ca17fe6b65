"""Plain statistics of prepared pixels: light, colour, and edges at several scales, mostly in logarithms.

On real photos they tell charts, text, noise and blank pages where a network's features let many of them pass. In
numpy and not in the network: there they doubled the time of an answer.
"""

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
    tint = sum(np.abs(3 * channel - total).mean() for channel in (red, green, blue)) / (9 * 255)
    light, dark = np.count_nonzero(grey > 0.97) / grey.size, np.count_nonzero(grey < 0.03) / grey.size
    across, down = _edges(grey)
    flat = (np.count_nonzero(across < GREY_STEP) + np.count_nonzero(down < GREY_STEP)) / (across.size + down.size)
    cells = np.log(_shrunk(across[1:] + down[:, 1:], max(1, (side - 1) // CELLS)) + 0.004)
    values = [
        grey.mean(), np.log(grey.std() + 0.01), np.log(tint + 0.003), np.log(light + 0.01), np.log(dark + 0.01),
        np.log(flat + 0.01), np.log(1.01 - flat), cells.std(), cells.min(), cells.max(),
    ]
    scaled = grey
    for _ in range(min(SCALES, side.bit_length() - 2)):  # the last scale is 2 pixels wide or more
        across, down = _edges(scaled)
        mean = across.mean() + down.mean()
        square = np.vdot(across, across) / across.size + np.vdot(down, down) / down.size
        values += [np.log(mean + 0.002), np.log((square + 1e-5) / (mean * mean / 2 + 1e-5))]
        scaled = _shrunk(scaled, 2)
    return np.array(values, np.float32)


def _edges(grey: Floats) -> tuple[Floats, Floats]:
    return np.abs(grey[:, 1:] - grey[:, :-1]), np.abs(grey[1:] - grey[:-1])


def _shrunk(values: Floats, step: int) -> Floats:
    """Means of blocks of `step` x `step`; what is left at the borders is dropped."""
    rows, columns = (length // step for length in values.shape)
    summed: Floats = values[:rows * step, :columns * step].reshape(rows, step, columns * step).sum(axis=1)
    means: Floats = summed[:, ::step] / np.float32(step**2)
    for first in range(1, step):
        means += summed[:, first::step] / np.float32(step**2)
    return means
