"""What a model card says of the photos that its network was trained on -> what is usual of a photo's pixels."""

import numpy as np

from catsdogs.artifacts import ModelCard
from catsdogs.errors import ModelRefused
from catsdogs.mahalanobis import Classes
from catsdogs.model_file import REPAIR
from catsdogs.statistics import statistics


def usual_of(card: ModelCard) -> Classes | None:
    """None where it says nothing. Raises ModelRefused where what the card says of it does not fit together."""
    if card.familiarity is None:
        return None
    said = card.familiarity.statistics
    try:
        usual = Classes(np.array(said.centre, np.float32), np.array(said.whitening, np.float32),
                        np.array(said.means, np.float32), said.limit)
        count = statistics(np.zeros((1, card.image_size, card.image_size, 3), np.uint8)).shape[1]
        fits = (usual.centre.shape == (count,) and usual.whitening.shape == (count, count) and usual.limit > 0
                and usual.means.ndim == 2 and len(usual.means) > 0 and usual.means.shape[1] == count)
    except ValueError:
        fits = False
    if not fits:
        raise ModelRefused(f"The familiarity in the model card does not fit its photos: {REPAIR}.")
    return usual
