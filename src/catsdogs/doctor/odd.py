"""Odd ones out: pictures that are no photo of anything, or hardly one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from catsdogs.artifacts import ManifestRow
from catsdogs.doctor.measure import Measure

FAR = 4 * 1.4826  # times the median absolute deviation: 4 standard deviations of a normal spread
SMALL_SIDE = 48  # pixels
LONG_SHAPE = 4.0  # longer side over shorter


@dataclass(frozen=True)
class Limit:
    kind: str
    field: str
    side: Literal["below", "above"]
    value: float
    words: str


# Set on 6,000 photos of cats and dogs: each finds at most 0.4 % of them, most of those with reason (logos, "Adopted").
# The first that fits names the oddity.
LIMITS = (
    Limit("blank", "entropy", "below", 1.8, "hardly more than one colour"),
    Limit("dark", "highlight", "below", 0.25, "no bright spot in it"),
    Limit("blank", "contrast", "below", 0.03, "hardly more than one grey level"),
    Limit("bright", "shadow", "above", 0.75, "no dark spot in it"),
    Limit("graphic", "entropy", "below", 5.2, "few grey levels: text, a drawing, or mostly frame"),
    Limit("blurred", "sharpness", "below", 0.12, "no sharp edge in it"),
)


@dataclass(frozen=True)
class Oddity:
    digest: str
    kind: str
    value: float
    words: str


def oddities(rows: list[ManifestRow], measures: Iterable[Measure]) -> Iterator[Oddity]:
    """Photos beyond a limit and far from the others: a set of drawings is not odd, a drawing among photos is."""
    measures = list(measures)
    limits = [(limit, _beyond(limit, np.array([getattr(one, limit.field) for one in measures]))) for limit in LIMITS]
    by_digest = {one.digest: one for one in measures}
    for row in rows:
        short, long = sorted((row.width, row.height))
        if short < SMALL_SIDE:
            yield Oddity(row.digest, "small", short, f"{row.width} x {row.height} pixels")
        elif long > LONG_SHAPE * short:
            yield Oddity(row.digest, "shape", long / short, f"{row.width} x {row.height} pixels")
        elif row.digest in by_digest and (odd := _judged(by_digest[row.digest], limits)):
            yield odd


def _beyond(limit: Limit, values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    if not len(values):
        return limit.value
    middle = float(np.median(values))
    spread = FAR * float(np.median(np.abs(values - middle)))
    return min(limit.value, middle - spread) if limit.side == "below" else max(limit.value, middle + spread)


def _judged(one: Measure, limits: list[tuple[Limit, float]]) -> Oddity | None:
    for limit, value in limits:
        figure = float(getattr(one, limit.field))
        if figure < value if limit.side == "below" else figure > value:
            return Oddity(one.digest, limit.kind, figure, limit.words)
    return None
