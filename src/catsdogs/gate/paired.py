"""Is the challenger not worse than the champion? Both answered the same photos, so pairs of answers are compared.

Null hypothesis: the challenger's accuracy is lower than the champion's by `margin` or more. Only photos that one of
them answers rightly and the other wrongly tell anything: `lost` ones and `gained` ones. The score test of Tango
(1998, Statistics in Medicine 17:891) rejects the hypothesis; with its continuity correction a challenger at the margin
passes with a chance of at most `level` (enumerated for 50 to 400 photos and every rate of disagreement: 0.032 to
0.043 at 0.05; uncorrected 0.050 to 0.058).
"""

import math

import numpy as np
import numpy.typing as npt

from catsdogs.gate.report import Paired

Right = npt.NDArray[np.bool_]
MOST_PHOTOS = 10_000_000


def compare(challenger: Right, champion: Right, margin: float, level: float) -> Paired:
    """Judge which photos, bool [n], each of them answered rightly. `n` must be positive."""
    photos = len(challenger)
    lost, gained = int((champion & ~challenger).sum()), int((challenger & ~champion).sum())
    p_value = not_worse_p(photos, lost, gained, margin)
    return Paired(
        photos=photos, lost=lost, gained=gained, margin=margin, level=level,
        difference=(gained - lost) / photos, loss_at_most=_largest_loss(photos, lost, gained, level),
        p_value=p_value, p_worse=worse_p(lost, gained), passed=p_value <= level,
        photos_needed=_photos_needed(photos, lost, gained, margin, level),
    )


def not_worse_p(photos: float, lost: float, gained: float, margin: float) -> float:
    """One-sided p-value of the hypothesis that `margin` or more is lost: small says that it is not."""
    # The estimate of the gained share where the lost share is `margin` above it (Tango 1998, section 3).
    linear = (2 * photos - lost + gained) * margin - lost - gained
    constant = gained * margin * (1 - margin)
    gain = (math.sqrt(linear * linear + 8 * photos * constant) - linear) / (4 * photos)
    variance = photos * (2 * gain + margin * (1 - margin))
    return _normal((lost - gained - photos * margin + 1) / math.sqrt(variance))


def worse_p(lost: int, gained: int) -> float:
    """Exact McNemar test, one-sided: how likely are so many lost photos where both are equally good?"""
    from scipy.stats import binomtest  # 0.6 s to import

    return float(binomtest(lost, lost + gained, alternative="greater").pvalue) if lost + gained else 1.0


def _largest_loss(photos: int, lost: int, gained: int, level: float) -> float:
    """The margin from which on the test passes: the upper end of a one-sided interval of the loss."""
    low, high = max((lost - gained) / photos, 0.0), 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if 0 < middle < 1 and not_worse_p(photos, lost, gained, middle) <= level:
            high = middle
        else:
            low = middle
    return high


def _photos_needed(photos: int, lost: int, gained: int, margin: float, level: float) -> int | None:
    """How many photos would pass at these rates; None where none would, because the loss seen is too large."""
    if lost - gained >= photos * margin:
        return None
    times = 1.0
    while not_worse_p(times * photos, times * lost, times * gained, margin) > level:
        times *= 1.1
        if times * photos > MOST_PHOTOS:
            return None
    return math.ceil(times * photos)


def _normal(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
