"""When an answer should rather be "unsure", and why."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Doubt:
    kind: Literal["unfamiliar", "low-confidence"]
    reason: str  # one sentence


def doubt(
    confidence: float, distance: float | None, *, unsure_below: float, unfamiliar_above: float | None
) -> Doubt | None:
    """Why an answer should not be relied on; None where it may be.

    `distance` says how far the photo is from those of the training; None where the model cannot tell.
    """
    if distance is not None and unfamiliar_above is not None and not distance <= unfamiliar_above:  # NaN is far, too
        return Doubt("unfamiliar", f"The photo is unlike those of the training: a distance of {distance:.1f}, where "
                                   f"up to {unfamiliar_above:.1f} is usual.")
    if not confidence >= unsure_below:
        return Doubt("low-confidence", f"The confidence {confidence:.3f} is below {unsure_below:.3f}, from which on "
                                       "answers are relied on.")
    return None
