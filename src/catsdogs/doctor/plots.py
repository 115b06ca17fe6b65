"""Small plots as SVG, coloured by the page's own palette; each says its figures in words as well."""

from collections.abc import Sequence

import numpy as np

from catsdogs.doctor.html import Html, join, tag

WIDTH, HEIGHT, FOOT = 320, 130, 18
BINS = 32
BAR, GAP = 18, 8


def histogram(title: str, values: Sequence[float], unit: str = "", low: float | None = None) -> Html:
    """How often each size occurs. `low` is the limit below which a photo is listed."""
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        return _figure(title, "no photos", join())
    counts, edges = np.histogram(array, BINS)
    step, top = WIDTH / BINS, max(int(counts.max()), 1)
    bars = [
        tag("rect", x=round(place * step, 1), y=round(HEIGHT - FOOT - tall, 1), width=round(step - 1, 1),
            height=round(tall, 1), class_="two" if low is not None and edges[place + 1] <= low else "one")
        for place, count in enumerate(counts) if (tall := count / top * (HEIGHT - FOOT - 4)) > 0
    ]
    middle = float(np.median(array))
    words = f"from {array.min():.3g} to {array.max():.3g}{unit}, half of them below {middle:.3g}{unit}"
    axis = tag("line", x1=0, x2=WIDTH, y1=HEIGHT - FOOT, y2=HEIGHT - FOOT, class_="axis")
    ends = [
        tag("text", f"{edges[0]:.3g}{unit}", x=0, y=HEIGHT - 4),
        tag("text", f"{edges[-1]:.3g}{unit}", x=WIDTH, y=HEIGHT - 4, text_anchor="end"),
    ]
    drawing = tag("svg", bars, axis, ends, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img",
                  aria_label=f"Histogram of {title.lower()}: {words}")
    return _figure(title, words, drawing)


def bars(title: str, counts: dict[str, int]) -> Html:
    """One bar a name, its figure beside it."""
    top, tall = max(counts.values(), default=1) or 1, BAR + GAP
    rows = []
    for place, (name, count) in enumerate(counts.items()):
        y, width = place * tall, max(count / top * 150, 1)
        shown = name if len(name) <= 16 else name[:15] + "…"
        rows += [
            tag("text", shown, x=0, y=y + BAR - 5),
            tag("rect", x=100, y=y, width=round(width, 1), height=BAR, rx=2, class_="one"),
            tag("text", f"{count:,}", x=round(106 + width, 1), y=y + BAR - 5),
        ]
    words = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    drawing = tag("svg", rows, viewBox=f"0 0 {WIDTH} {max(len(counts), 1) * tall}", role="img",
                  aria_label=f"{title}: {words}")
    return _figure(title, "", drawing)


def _figure(title: str, words: str, drawing: Html) -> Html:
    return tag("figure", tag("figcaption", tag("b", title), f" {words}" if words else ""), drawing, class_="plot")
