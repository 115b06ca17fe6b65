"""Plain statistics of prepared pixels: light, colour, and edges at several scales, mostly in logarithms.

On real photos they tell charts, text, noise and blank pages where a network's features let many of them pass. In
numpy and not in the network: there they doubled the time of an answer. Sums are products with ones, and means of
blocks products with a matrix; colours are looked at in a quarter of the pixels, and edges in every second row. Of 112
px four photos take 0.11 ms each, where one by one and in all pixels each took 0.19 (a Xeon at 2.6 GHz).
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from catsdogs.images import Pixels

GREY_STEP = 1.5 / 255  # neighbours that differ by less are of the same grey
CELLS = 8
SCALES = 4
AT_ONCE = 4 * 112**2
"""Pixels: of 112 px one photo takes 0.20 ms, of four each 0.11, of eight each 0.11 to 0.15. Arrays of a megabyte are
fetched from the system and given back each time: with four of 224 px, `baseline` was served half as fast."""

Floats = npt.NDArray[np.float32]


def statistics(pixels: Pixels) -> Floats:
    """uint8 [n, side, side, 3] -> float32 [n, 18], fewer where the side is less than 16."""
    count, side = pixels.shape[:2]
    if count > (most := max(1, AT_ONCE // side**2)):
        return np.concatenate([statistics(pixels[start:start + most]) for start in range(0, count, most)])
    scales = min(SCALES, side.bit_length() - 2)  # the last one is 2 pixels wide or more
    found = np.empty((10 + 2 * scales, count), np.float32)
    grey: Floats = (pixels.reshape(-1, 3).astype(np.float32) @ _grey()).reshape(count, side, side)
    found[0] = mean = _means(grey)
    found[1] = np.sqrt(_squares(grey - mean[:, None, None])) + 0.01
    found[2] = _means(_absolute(pixels[:, ::2, ::2].reshape(-1, 3).astype(np.float32) @ _away()).reshape(count, -1))
    found[2] += 0.003
    found[3] = _shares(grey > 0.97) + 0.01
    found[4] = _shares(grey < 0.03) + 0.01
    edges = _edges(grey, 2)
    flat = _shares(edges < GREY_STEP)
    found[5], found[6] = flat + 0.01, 1.01 - flat
    down, across = (_blocks(length, max(1, length // CELLS)) for length in edges.shape[2:])
    cells = np.log(down @ (edges[:, 0] + edges[:, 1]) @ across.T + np.float32(0.004)).reshape(count, -1)
    found[7], found[8], found[9] = cells.std(axis=1), cells.min(axis=1), cells.max(axis=1)
    gradients, ratios = found[10::2], found[11::2]
    for scale in range(scales):
        if scale:
            grey = _halved(grey)
            edges = _edges(grey)
        gradients[scale], ratios[scale] = _means(edges), _squares(edges)
    ratios[:] = (2 * ratios + 1e-5) / (2 * gradients * gradients + 1e-5)
    gradients[:] = 2 * gradients + 0.002
    for inner in (found[1:7], found[10:]):
        np.log(inner, out=inner)
    return np.ascontiguousarray(found.T)


def _means(values: Floats) -> Floats:
    rows = values.reshape(len(values), -1)
    means: Floats = rows @ _share(rows.shape[1])
    return means


def _squares(values: Floats) -> Floats:
    """Their means."""
    rows = values.reshape(len(values), -1)
    return np.array([np.dot(row, row) for row in rows], np.float32) / np.float32(rows.shape[1])


def _shares(found: npt.NDArray[np.bool_]) -> Floats:
    return np.array([np.count_nonzero(one) for one in found], np.float32) / np.float32(found[0].size)


def _absolute(values: Floats) -> Floats:
    return np.abs(values, out=values)


def _edges(grey: Floats, every: int = 1) -> Floats:
    """[n, side, side] -> how far the pixels of every so many rows are from the next one to the right, and below:
    [n, 2, (side - 1) / every, side - 1]."""
    rows = grey.shape[1] - 1
    here, below = grey[:, 0:rows:every], grey[:, 1::every]
    edges = np.empty((len(grey), 2, here.shape[1], grey.shape[2] - 1), np.float32)
    np.subtract(here[:, :, 1:], here[:, :, :-1], edges[:, 0])
    np.subtract(below[:, :, :-1], here[:, :, :-1], edges[:, 1])
    return _absolute(edges)


def _halved(grey: Floats) -> Floats:
    """Means of blocks of 2 x 2; what is left at the borders is dropped."""
    rows, columns = (length // 2 * 2 for length in grey.shape[1:])
    summed = grey[:, 0:rows:2, :columns] + grey[:, 1:rows:2, :columns]
    halved: Floats = summed[:, :, ::2] + summed[:, :, 1::2]
    halved *= np.float32(0.25)
    return halved


@cache
def _grey() -> Floats:
    """Red, green and blue -> their mean, 0 to 1."""
    return np.full(3, 1 / 765, np.float32)


@cache
def _away() -> Floats:
    """The same -> how far each lies from it."""
    return ((3 * np.eye(3) - 1) / (3 * 255)).astype(np.float32)


@cache
def _share(count: int) -> Floats:
    return np.full(count, 1 / count, np.float32)


@cache
def _blocks(length: int, step: int) -> Floats:
    """The matrix [length // step, length] that makes means of `step` neighbours each."""
    blocks = np.kron(np.eye(length // step, dtype=np.float32), np.full(step, 1 / step, np.float32))
    return np.pad(blocks, ((0, 0), (0, length - blocks.shape[1])))
