"""What both animals share: coats, eyes, poses. Nothing here tells a cat from a dog."""

from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

Colour = tuple[int, int, int]
Random = np.random.Generator

COATS: tuple[Colour, ...] = (
    (214, 140, 62), (120, 86, 60), (60, 56, 58), (228, 218, 204), (150, 146, 148), (186, 150, 110), (92, 70, 58),
    (240, 200, 140), (36, 34, 38), (170, 110, 80),
)
POSES = ("face", "sitting", "lying")
PATTERNS = ("plain", "stripes", "patches")


@dataclass(frozen=True)
class Look:
    coat: Colour
    belly: Colour
    mark: Colour  # stripes and patches
    pattern: str
    pose: str
    spread: float  # of ears and eyes, 0.85 to 1.15
    lean: float  # of the head against the body, -0.2 to 0.2


def random_look(random: Random) -> Look:
    coat = COATS[random.integers(len(COATS))]
    return Look(
        coat=coat,
        belly=shade(coat, random.uniform(1.1, 1.5)),
        mark=shade(coat, random.uniform(0.45, 0.75)) if random.random() < 0.7 else COATS[random.integers(len(COATS))],
        pattern=PATTERNS[random.integers(len(PATTERNS))],
        pose=POSES[random.choice(3, p=(0.66, 0.22, 0.12))],
        spread=random.uniform(0.85, 1.15),
        lean=random.uniform(-0.2, 0.2),
    )


def shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (int(min(255, channel * factor)) for channel in colour)
    return red, green, blue


class Brush:
    """Draws in units of the animal's size around its centre; y points down."""

    def __init__(self, draw: ImageDraw.ImageDraw, x: float, y: float, unit: float) -> None:
        self.draw, self.x, self.y, self.unit = draw, x, y, unit

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self.x + x * self.unit, self.y + y * self.unit

    def moved(self, x: float, y: float, scale: float = 1.0) -> "Brush":
        return Brush(self.draw, *self.at(x, y), self.unit * scale)

    def oval(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Centre, half width, half height."""
        (left, top), (right, bottom) = self.at(x - width, y - height), self.at(x + width, y + height)
        self.draw.ellipse((left, top, max(left, right), max(top, bottom)), fill=colour)

    def shape(self, points: list[tuple[float, float]], colour: Colour) -> None:
        self.draw.polygon([self.at(*point) for point in points], fill=colour)

    def line(self, points: list[tuple[float, float]], colour: Colour, width: float) -> None:
        self.draw.line([self.at(*point) for point in points], fill=colour, width=max(1, round(width * self.unit)),
                       joint="curve")

    def curve(self, start: tuple[float, float], bend: tuple[float, float], end: tuple[float, float], colour: Colour,
              width: float) -> None:
        """A quadratic Bezier curve with round ends."""
        points = []
        for t in np.linspace(0, 1, 10):
            points.append(tuple(
                float((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t * t * c)
                for a, b, c in zip(start, bend, end, strict=True)
            ))
        self.line(points, colour, width)  # type: ignore[arg-type]
        for x, y in (start, end):
            self.oval(x, y, width / 2, width / 2, colour)


def coat_pattern(brush: Brush, look: Look, random: Random, width: float, height: float) -> None:
    """Stripes or patches over an oval of this half width and half height."""
    if look.pattern == "stripes":
        for offset in np.linspace(-0.6, 0.6, 4):
            brush.curve((offset * width, -0.85 * height), (offset * width * 1.3, -0.5 * height),
                        (offset * width * 1.1, -0.25 * height), look.mark, 0.07)
    elif look.pattern == "patches":
        for _ in range(3):
            x, y = random.uniform(-0.55, 0.55, 2)
            brush.oval(x * width, y * height, random.uniform(0.15, 0.35) * width, random.uniform(0.12, 0.3) * height,
                       look.mark)


def body(brush: Brush, look: Look, random: Random, legs: float) -> Brush:
    """Torso and legs for the pose; returns a brush for the head."""
    if look.pose == "sitting":
        torso = brush.moved(0, 0.75)
        torso.oval(0, 0.1, 0.62, 0.85, look.coat)
        coat_pattern(torso, look, random, 0.6, 0.8)
        torso.oval(0, 0.25, 0.3, 0.55, look.belly)
        for side in (-1, 1):
            torso.oval(side * 0.5, 0.75, 0.3, 0.22, look.coat)
            torso.line([(side * 0.2, 0.2), (side * 0.22, 0.9)], shade(look.coat, 0.9), 0.2 * legs)
            torso.oval(side * 0.22, 0.93, 0.16, 0.1, look.belly)
        return brush.moved(look.lean, -0.35, 0.72)
    torso = brush.moved(0.25, 0.35)
    for x in (-0.6, -0.3, 0.5, 0.8):
        torso.line([(x, 0.2), (x + look.lean * 0.5, 0.75 * legs)], shade(look.coat, 0.85), 0.17)
    torso.oval(0.1, 0, 1.0, 0.42, look.coat)
    coat_pattern(torso, look, random, 0.9, 0.4)
    torso.oval(0.1, 0.22, 0.7, 0.16, look.belly)
    return brush.moved(-0.75, -0.1 + look.lean, 0.6)
