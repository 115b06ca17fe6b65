"""What a pretrained network sees in photos: by the engine on a processor, twice as fast as torch there, and by torch on
a GPU."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from catsdogs.answering import Answering
from catsdogs.errors import CatsdogsError
from catsdogs.log import event
from catsdogs.nets import probe
from catsdogs.nets.network import at_once
from catsdogs.nets.pretrained import Pretrained
from catsdogs.packed import Packed
from catsdogs.train.device import Device
from catsdogs.train.resident import Pixels
from catsdogs.train.validation import seconds_a_photo

AT_ONCE = 64  # photos of up to 224 px, for torch


def features(
    network: Pretrained, photos: Packed, places: npt.NDArray[np.int64], device: Device
) -> Iterator[probe.Values]:
    """Features of the photos at these places, float32 [some, width] at a time."""
    answering = _engine(network, photos, device)
    if answering is not None:
        yield from (part.features for part in answering.in_parts(photos.pixels, places))
        return
    network.to(device.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    pixels, batch = Pixels(photos, device.device), at_once(photos.pixels.shape[1], AT_ONCE)
    for start in range(0, len(places), batch):
        with device.autocast():
            seen = probe.features(network, pixels.take(places[start:start + batch]).to(device.device))
        yield seen


def seconds(network: Pretrained, photos: Packed, device: Device) -> float:
    """How long seeing one photo takes, measured here and now."""
    answering = _engine(network, photos, device)
    return answering.seconds_a_photo(photos.pixels) if answering else seconds_a_photo(network, photos, device)


def _engine(network: Pretrained, photos: Packed, device: Device) -> Answering | None:
    """None on a GPU, and for the few backbones that the engine cannot be given: a teacher can be one of those."""
    if device.device.type != "cpu":
        return None
    try:
        return Answering(network, photos.pixels.shape[1], exact=device.exact)
    except CatsdogsError as error:
        event("features_by_torch", because=str(error))
        return None
