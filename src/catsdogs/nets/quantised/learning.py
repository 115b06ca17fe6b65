"""What a trained network has to learn from photos before it can be served in 8-bit integers."""

import numpy as np

from catsdogs.images import Pixels
from catsdogs.log import event
from catsdogs.nets.network import Network
from catsdogs.nets.plain import Plain
from catsdogs.nets.quantised.network import STEPS
from catsdogs.nets.quantised.plain import LEVELS, QuantisedPlain
from catsdogs.nets.quantised.rounding import choose_levels, equalise, farthest
from catsdogs.nets.quantised.served import quantised
from catsdogs.nets.quantised.steps import PIXELS, spread, steps_by

MOST_APART = 0.005
"""Of a probability of the specification's networks, before the temperature, on photos that were not learned from."""

FOR_SIZES = 4
"""Times as many photos tell how large activations become: what is larger is cut off, and moves the answer."""

PASSES = 12  # over these photos: 8 to 13 s where one of `baseline` takes 1; `wider` multiplies larger matrices besides


def learn_integers(network: Network, photos: Pixels, others: Pixels) -> None:
    """Let a trained network remember what it needs for integers, by photos, uint8 [n, side, side, 3]; others judge it.

    Networks that are not served in integers stay as they are, and so do those of the specification where integers
    would move an answer of theirs by more than MOST_APART.
    """
    if isinstance(network, Plain):
        _learn_plain(network, photos, others)
    elif (found := quantised(network)) is not None:
        network.description = {**network.description, STEPS: steps_by(found, photos)}


def _learn_plain(network: Plain, photos: Pixels, others: Pixels) -> None:
    steps = equalise(network, np.array(photos[spread(photos, FOR_SIZES * PIXELS)]))
    if not steps:
        event("served_in_floats", because="activations are no finite numbers")
        return
    found = quantised(network)
    assert isinstance(found, QuantisedPlain)
    found.take_steps(steps)
    levels = choose_levels(found, np.array(photos[spread(photos)]))
    apart = farthest(found, np.array(others[spread(others)]))
    if apart <= MOST_APART:
        network.description = {**network.description, STEPS: steps, LEVELS: levels}
    else:  # or NaN
        event("served_in_floats", because=f"in integers a probability would move by {apart:.3f}")


def looks(network: Network, photos: Pixels) -> int:
    """How often `learn_integers` lets a network, or what answers in its place, look at a photo."""
    if quantised(network) is None:
        return 0
    return len(spread(photos)) * (PASSES if isinstance(network, Plain) else 1)
