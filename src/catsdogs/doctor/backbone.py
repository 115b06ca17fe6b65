"""Out-of-fold probabilities from the features of a network that others trained on many photos, and not on these.

Where photos are few this is by far the better judge: of 200 wrong labels among 4,000, the first 300 named hold 94 %
with EfficientNet-Lite0, and a third with trainings of our own (benchmarks/DOCTOR.md).
"""

import numpy as np
import numpy.typing as npt

from catsdogs.answering import Answering
from catsdogs.errors import UsageError
from catsdogs.log import Progress
from catsdogs.machine import cores
from catsdogs.nets import probe
from catsdogs.nets.pretrained import Pretrained, from_hub, takes_photos_of

SIDE = 128  # pixels, for backbones that take any size
STRENGTH = 0.001  # inverse of the regularisation; 0.01 found 87 % of what it finds 94 % of, 0.1 found 74 %


def load(name: str) -> tuple[Pretrained, int]:
    """The backbone, and the side of the photos it is to see. Raises CatsdogsError where there is none."""
    network = from_hub(name, 2).eval()
    try:
        takes_photos_of(network, SIDE)
        return network, SIDE
    except UsageError:
        if network.own_side is None:
            raise
        takes_photos_of(network, network.own_side)
        return network, network.own_side


def out_of_fold(
    network: Pretrained, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], folds: npt.NDArray[np.int64], *,
    classes: int, bar: Progress,
) -> npt.NDArray[np.float32]:
    """[n, classes] for uint8 [n, side, side, 3], labels [n] and fold numbers [n]: logistic regression on features."""
    parts = []
    # In float32, and twice as fast as torch's.
    for part in Answering(network, pixels.shape[1], exact=True, threads=cores()).in_parts(pixels):
        parts.append(part.features)
        bar.advance(len(part.features))
    features = np.concatenate(parts)
    answers = np.zeros((len(labels), classes), dtype=np.float32)
    for fold in np.unique(folds):
        apart = folds == fold
        answers[apart] = probe.fit(features[~apart], labels[~apart], STRENGTH).probabilities(features[apart])
    return answers
