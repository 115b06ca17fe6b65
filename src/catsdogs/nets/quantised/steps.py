"""How large the steps of activations are: photos decide."""

import numpy as np
import numpy.typing as npt
import torch

from catsdogs.images import Pixels
from catsdogs.nets.network import at_once
from catsdogs.nets.quantised.layers import Rounded
from catsdogs.nets.quantised.network import Quantised

PIXELS = 256 * 128**2
"""To look at for the steps of activations: of 256 photos of 128 px."""

FEWEST = 8  # photos
VALUES = 20_000  # of each activation
LEAST, TRIED = 0.3, 29
"""From this share of the largest value up to all of it so many are tried as the highest level; above it is cut off."""


def steps_by(network: Quantised, photos: Pixels, pixels: int = PIXELS) -> list[float]:
    """The step of the least squared error, of each activation by itself, by photos evenly among these, which have as
    many pixels. `network` has no steps yet."""
    activations = network.activations()
    seen: list[list[torch.Tensor]] = [[] for _ in activations]

    def look(place: int, count: int, values: torch.Tensor) -> None:
        flat = values.flatten()
        seen[place].append(flat[::max(1, flat.numel() // max(1, VALUES // count))].clone())

    side = photos.shape[1]
    places = spread(photos, pixels)
    pieces = np.array_split(places, -(-len(places) // at_once(side)))
    hooks = [activation.register_forward_pre_hook(
        lambda _, values, place=place: look(place, len(pieces), values[0]))
        for place, activation in enumerate(activations)]
    device = next(network.head.parameters()).device
    with torch.inference_mode():
        for piece in pieces:
            network(torch.from_numpy(np.array(photos[piece])).to(device))
    for hook in hooks:
        hook.remove()
    return [step(torch.cat(values), activation) for values, activation in zip(seen, activations, strict=True)]


def spread(photos: Pixels, pixels: int = PIXELS) -> npt.NDArray[np.int64]:
    """Places of photos evenly among these, which have as many pixels."""
    count = min(len(photos), max(FEWEST, pixels // photos.shape[1]**2))
    return np.linspace(0, len(photos) - 1, count).astype(np.int64)


def step(values: torch.Tensor, activation: Rounded) -> float:
    """Of the least squared error."""
    largest = max(float(values.max()) / activation.highest, float(values.min()) / min(activation.lowest, -1), 1e-8)
    steps = torch.linspace(LEAST, 1.0, TRIED, device=values.device)[:, None] * largest
    rounded = (values / steps).round().clamp(activation.lowest, activation.highest) * steps
    return float(steps[(rounded - values).square().mean(1).argmin()])
