"""How many photos the network answers at once: several where that is faster here, by measurement.

Networks in integers gain (`fast` at 112 px: 0.26 instead of 0.43 ms a photo on a processor with AMX), and answer each
photo of several as they answer it alone. Those in bfloat16 would round it otherwise.
"""

import base64
from time import thread_time

import numpy as np

from catsdogs.compiled import TOGETHER
from catsdogs.images import Pixels
from catsdogs.predictor import Predictor

BATCH = 2 * TOGETHER

GAIN = 0.9
"""Of the time of so many photos one by one: `fast` takes 0.6 of it (0.86 without AMX), `baseline` 0.91 to 0.98."""

MOST_SECONDS = 0.02
"""For a batch: beyond, photos wait longer for one another than what they gain."""

SAME = 1e-6
"""Difference of a probability."""

ROUNDS = 8


def best_batch(predictor: Predictor) -> int:
    """BATCH or 1. Takes a fifth of a second where the network is to be compiled for it."""
    if predictor.card.arithmetic == "float" or not predictor.takes_together():
        return 1
    pixels = _golden(predictor, TOGETHER)
    single, together = _seconds(predictor, pixels[:1]), _seconds(predictor, pixels)
    gains = together < GAIN * TOGETHER * single and together * BATCH / TOGETHER <= MOST_SECONDS
    return BATCH if gains and _same(predictor, pixels) else 1


def _golden(predictor: Predictor, count: int) -> Pixels:
    """Golden photos, as often as it takes to make so many."""
    golden = predictor.card.golden
    return np.concatenate([predictor.prepare(base64.b64decode(golden[place % len(golden)].png_base64))
                           for place in range(count)])


def _same(predictor: Predictor, pixels: Pixels) -> bool:
    alone = np.concatenate([predictor.probabilities(pixels[place:place + 1]) for place in range(len(pixels))])
    return bool(np.abs(predictor.probabilities(pixels) - alone).max() <= SAME)  # not so of NaN


def _seconds(predictor: Predictor, pixels: Pixels) -> float:
    """The least of some, of this thread's processor time: with one thread to use, the engine works in this one."""
    least = float("inf")
    for _ in range(ROUNDS):
        started = thread_time()
        predictor.probabilities(pixels)
        least = min(least, thread_time() - started)
    return least
