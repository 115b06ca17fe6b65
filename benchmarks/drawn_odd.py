"""Pages that no camera took: charts, text, blank ones, noise and gradients, each different from the last."""

import io
import random
import string
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

Draw = Callable[[random.Random], Image.Image]


def encoded(draw: Draw, count: int) -> list[bytes]:
    """So many, as JPEG and PNG in turn."""
    found = []
    for number in range(count):
        buffer = io.BytesIO()
        draw(random.Random(number)).convert("RGB").save(buffer, ("JPEG", "PNG")[number % 2])
        found.append(buffer.getvalue())
    return found


def _size(chance: random.Random) -> tuple[int, int]:
    return chance.randint(240, 900), chance.randint(240, 900)


def _colour(chance: random.Random, low: int = 0, high: int = 255) -> tuple[int, int, int]:
    return chance.randint(low, high), chance.randint(low, high), chance.randint(low, high)


def chart(chance: random.Random) -> Image.Image:
    """Bars, lines or points over axes, with a title."""
    width, height = _size(chance)
    image = Image.new("RGB", (width, height), chance.choice([(255, 255, 255), _colour(chance, 230)]))
    brush = ImageDraw.Draw(image)
    left, bottom = width // 10, height - height // 10
    brush.line([(left, height // 10), (left, bottom), (width - left, bottom)], fill=(40, 40, 40), width=2)
    values = [chance.random() for _ in range(chance.randint(4, 20))]
    places = [left + (width - 2 * left) * (number + 0.5) / len(values) for number in range(len(values))]
    tops = [bottom - value * (bottom - height // 8) for value in values]
    kind, colour = chance.choice(["bars", "line", "points"]), _colour(chance, 0, 200)
    if kind == "bars":
        half = (width - 2 * left) / len(values) * 0.35
        for place, top in zip(places, tops, strict=True):
            brush.rectangle([place - half, top, place + half, bottom], fill=colour)
    elif kind == "line":
        brush.line(list(zip(places, tops, strict=True)), fill=colour, width=chance.randint(1, 5))
    else:
        for place, top in zip(places, tops, strict=True):
            brush.ellipse([place - 4, top - 4, place + 4, top + 4], fill=colour)
    brush.text((left, height // 30), "".join(chance.choices(string.ascii_letters + " ", k=24)), fill=(0, 0, 0))
    return image


def text(chance: random.Random) -> Image.Image:
    """A page of words."""
    width, height = _size(chance)
    image = Image.new("RGB", (width, height), chance.choice([(255, 255, 255), _colour(chance, 220)]))
    brush = ImageDraw.Draw(image)
    size = chance.randint(10, 24)
    for row in range(size, height - size, int(size * 1.5)):
        words = "".join(chance.choices(string.ascii_letters + "     ", k=2 * width // size))
        brush.text((size, row), words, fill=_colour(chance, 0, 60), font_size=size)
    return image


def blank(chance: random.Random) -> Image.Image:
    return Image.new("RGB", _size(chance), _colour(chance))


def noise(chance: random.Random) -> Image.Image:
    """Of any strength and grain, around any grey."""
    width, height = _size(chance)
    grain, numbers = chance.choice([1, 1, 2, 4, 8]), np.random.default_rng(chance.randrange(2**32))
    shape = height // grain, width // grain, chance.choice([1, 3])
    values = chance.randint(40, 215) + chance.randint(10, 80) * numbers.standard_normal(shape)
    pixels = np.broadcast_to(values.clip(0, 255).astype(np.uint8), (*shape[:2], 3))
    return Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.NEAREST)


def gradient(chance: random.Random) -> Image.Image:
    """From one colour to another, in any direction."""
    width, height = _size(chance)
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    share = chance.random()
    way = (share * across + (1 - share) * down)[:, :, None]
    return Image.fromarray((way * _colour(chance) + (1 - way) * _colour(chance)).astype(np.uint8))


KINDS: dict[str, Draw] = {"charts": chart, "pages of text": text, "blank pages": blank, "noise": noise,
                          "gradients": gradient}
