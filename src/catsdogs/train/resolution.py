"""The resolution that a time budget has time for: a network that sees no photo twice is better off with less.

`fast` answers best at 4/3 of the side that it was trained at last, so that training on smaller photos alone would not
do: the network makes the photos that it is asked about smaller by a whole number. Photos stay as they were packed.
"""

from collections.abc import Sequence

from catsdogs.log import event
from catsdogs.machine import seconds_alive
from catsdogs.nets.network import Network
from catsdogs.packed import Packed, PackedPhotos
from catsdogs.train.device import Device
from catsdogs.train.recipe import Recipe
from catsdogs.train.validation import LEARNING, seconds_a_photo

SMALLEST = 48  # px
EPOCHS = 1.5
"""Passes over the photos. 12,856 real ones of 224 px, 5 minutes: as they are 76.5 % of the test photos, in about one
pass; at 112 px 86.6 %, in four and a half. Of 112 px, 1 minute: 73.5 and, at 56 px, 73.1 % (AVX2, one seed)."""
SHARE = 0.8  # of the time that is left: the rest goes to testing and exporting
MEASURED = 2  # times: another program may take the processor for a moment


def reductions(side: int) -> Sequence[int]:
    """By how much photos of this side can be made smaller without leaving out a row: from 1 up, to SMALLEST."""
    return [by for by in range(1, side // SMALLEST + 1) if side % by == 0] or [1]


def fitting(
    network: Network, recipe: Recipe, photos: PackedPhotos, device: Device, budget: float, processes: int
) -> int:
    """The least reduction at which a budget of so many seconds, which this process began with, lasts for EPOCHS."""
    side, some = photos.about.image_size, reductions(photos.about.image_size)
    if len(some) == 1:
        return 1
    most = some[-1]
    every = most if device.device.type == "cpu" else 1  # the smallest are the quickest; a GPU would be idle with them
    small = Packed(photos.val.pixels[:, ::every, ::every], photos.val.labels, photos.val.rows)
    area = LEARNING * min(seconds_a_photo(network, small, device) for _ in range(MEASURED)) / small.pixels.shape[1] ** 2
    seconds = SHARE * (budget - seconds_alive()) * processes
    steps = sum((phase.until - before) / phase.scale**2 for before, phase in zip(
        (0.0, *(phase.until for phase in recipe.phases)), recipe.phases, strict=False))
    epochs = {by: seconds * steps / (area * (side / by) ** 2 * len(photos.train.labels)) for by in some}
    chosen = next((by for by in some if epochs[by] >= EPOCHS), most)
    event("resolution", side=side // chosen, of=side, epochs=round(epochs[chosen], 1))
    return chosen
