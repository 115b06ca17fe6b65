"""A network's answers about many photos, as it will give them once it is served, from the engine on all cores.

Two to six times faster than torch's: of 192 px, a fine-tuned EfficientNet-Lite0 answers a photo in 1.3 ms in integers
and 2.0 in bfloat16, torch in 4.2 in bfloat16 and 7.7 in float32 (2 cores with AVX-512 VNNI and BF16).
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from catsdogs.artifacts import LOGITS_NAME, Arithmetic
from catsdogs.compiled import Compiled, Floats
from catsdogs.errors import CatsdogsError
from catsdogs.images import Pixels
from catsdogs.model_file import parsed
from catsdogs.nets.memory import is_gone
from catsdogs.nets.network import Network, at_once
from catsdogs.nets.quantised.network import Quantised
from catsdogs.traced import traced

FEATURES_NAME = "features"

Places = npt.NDArray[np.int64] | slice
EVERY = slice(None)


class Answers(NamedTuple):
    logits: Floats  # [n, classes], before the temperature
    features: Floats  # [n, width], what the head sees


class Answering:
    """An engine of its own for a network that has been trained, or whose weights stay as they are."""

    def __init__(self, network: Network, side: int, *, exact: bool = False, threads: int = 0) -> None:
        """Of photos of this side. Answers in what the engine thinks fast here, or, of a network in floats, in float32
        if `exact`. Without a number of `threads`, as many work as torch may use. Raises CatsdogsError for a network
        that the engine cannot be given, errors that `nets.memory` knows where memory is gone."""
        started = time.perf_counter()
        try:
            model = parsed(traced(_Bare(network.cpu()).eval(), side, [LOGITS_NAME, FEATURES_NAME]))
        except Exception as error:  # exporter and engine have errors of every kind
            if is_gone(error):
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise CatsdogsError(f"The network cannot be turned into an ONNX file that the engine reads ({reason}): "
                                "name another one.") from None
        self._batch = at_once(side)
        made_for = arithmetic(network)
        # Integers are what will be served, and need no float32: `fast` of 112 px takes 0.95 ms a photo, and 2.1 in
        # float32 (2 cores with AVX2 alone).
        self._engine = Compiled(model, made_for, threads or torch.get_num_threads(),
                                exact=exact and made_for == "float", by_one=False)
        self.seconds_to_start = time.perf_counter() - started

    def about(self, photos: Pixels, places: Places = EVERY) -> Answers:
        """Of the photos, uint8 [n, side, side, 3], at these places, in their order."""
        parts = list(self.in_parts(photos, places))
        return Answers(np.concatenate([part.logits for part in parts]),
                       np.concatenate([part.features for part in parts]))

    def logits(self, photos: Pixels, *, mirrored: bool = False) -> Floats:
        """Of every photo, without keeping the features, which are a thousand times as many numbers."""
        return np.concatenate([part.logits for part in self.in_parts(photos, mirrored=mirrored)])

    def in_parts(self, photos: Pixels, places: Places = EVERY, *, mirrored: bool = False) -> Iterator[Answers]:
        """The same, some photos at a time; or of their mirror images."""
        chosen = np.arange(len(photos))[places]
        for start in range(0, len(chosen), self._batch):
            pixels = photos[chosen[start:start + self._batch]]
            answer = self._engine.infer(np.ascontiguousarray(pixels[:, :, ::-1] if mirrored else pixels))
            yield Answers(answer[LOGITS_NAME], answer[FEATURES_NAME])

    def seconds_a_photo(self, photos: Pixels) -> float:
        """Measured on the first four batches; one warms up before."""
        self.about(photos[:self._batch])
        some = photos[:4 * self._batch]
        started = time.perf_counter()
        self.about(some)
        return (time.perf_counter() - started) / len(some)


def arithmetic(network: Network) -> Arithmetic:
    """What the network is made for, as in the model card."""
    return network.arithmetic if isinstance(network, Quantised) else "float"


class _Bare(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.network.pooled(self.network.maps(pixels))
        return self.network.head(features), features
