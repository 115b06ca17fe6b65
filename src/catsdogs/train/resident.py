"""Where batches take their photos from: the memory map, or a copy of the whole split on the GPU."""

import numpy as np
import numpy.typing as npt
import torch

from catsdogs.log import event
from catsdogs.packed import Packed

SHARE = 0.5
"""Of the GPU's free memory: the photos may take at most this, the rest is for the network and its gradients."""
AT_ONCE = 1024  # photos to copy at a time, so that the whole split is never in main memory

Places = npt.NDArray[np.int64] | slice


class Pixels:
    """The pixels of a split, uint8 [n, side, side, 3], with its labels.

    On a GPU with room for them they are copied there once, and batches are gathered there. On a processor they stay in
    the memory map: pages come and go as the system has room, so a split may be larger than memory.
    """

    def __init__(self, photos: Packed, device: torch.device) -> None:
        self.labels, self._mapped = photos.labels, photos.pixels
        self.side = photos.pixels.shape[1]
        self._resident = _copied(photos.pixels, device) if photos.pixels.nbytes <= SHARE * free_bytes(device) else None

    def take(self, places: Places) -> torch.Tensor:
        """A copy of these photos: on the device where they live there, in main memory otherwise."""
        if self._resident is None:
            return torch.from_numpy(np.array(self._mapped[places]))
        if isinstance(places, slice):
            return self._resident[places].clone()
        return self._resident[torch.from_numpy(places).to(self._resident.device)]


def free_bytes(device: torch.device) -> int:
    """Memory of a GPU that nobody uses; 0 for a processor, which needs no copy of what is mapped."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def _copied(pixels: npt.NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    resident = torch.empty(pixels.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(pixels), AT_ONCE):
        part = np.array(pixels[start:start + AT_ONCE])  # the map is read-only, which torch warns about
        resident[start:start + AT_ONCE].copy_(torch.from_numpy(part))
    event("photos_on_device", photos=len(pixels), megabytes=round(pixels.nbytes / 1e6), device=str(device))
    return resident
