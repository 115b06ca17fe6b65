"""How many photos the network answers at once: as many as make it faster here, by measurement.

Small networks gain (a fifth, for `fast` at 128 px), large ones lose by it; it depends on the processor.
"""

from time import process_time

import numpy as np

from catsdogs.images import Pixels
from catsdogs.predictor import Predictor

SIZES = (8, 4)
GAIN = 0.92
"""Of the time of so many photos one by one: less is worth that the first of them waits for the last."""

MOST_SECONDS = 0.02
"""For a batch: beyond, photos wait longer for one another than what they gain."""

ROUNDS = 3


def best_batch(predictor: Predictor) -> int:
    """1, 4 or 8. Takes a few hundredths of a second, and leaves the network warm for the sizes that will be used."""
    size = predictor.card.image_size
    pixels = np.zeros((max(SIZES), size, size, 3), np.uint8)
    single = _seconds(predictor, pixels[:1])
    for count in SIZES:
        if single * count <= MOST_SECONDS and _seconds(predictor, pixels[:count]) < GAIN * count * single:
            return count
    return 1


def _seconds(predictor: Predictor, pixels: Pixels) -> float:
    """Of the processor, the least of some rounds after one that warms up. Nothing else of this process works yet."""
    predictor.probabilities(pixels)
    least = float("inf")
    for _ in range(ROUNDS):
        started = process_time()
        predictor.probabilities(pixels)
        least = min(least, process_time() - started)
    return least
