"""Faults to plant among good photos: near-copies, mirrored copies, and pictures that are no photo of an animal."""

import io
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

JUNK = ("blank", "text", "drawing", "dark", "small")
WORDS = "adoption lost found call shelter photo coming soon image available please our cats dogs of the and".split()


def saved(image: Image.Image, quality: int = 85, file_format: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, file_format, quality=quality)
    return buffer.getvalue()


def near_copy(photo: Image.Image, kind: str, seed: int) -> bytes:
    """`recoded`, `resized` (half to double) or `cropped` (0 to 5 % off each side, re-encoded)."""
    chance = random.Random(seed)
    width, height = photo.size
    if kind == "recoded":
        return saved(photo, chance.randint(40, 80))
    if kind == "resized":
        factor = chance.choice((0.5, 0.6, 0.75, 1.3, 2.0))
        return saved(photo.resize((round(width * factor), round(height * factor))))
    cut = [chance.uniform(0, 0.05) for _ in range(4)]
    return saved(photo.crop((round(cut[0] * width), round(cut[1] * height),
                             round(width - cut[2] * width), round(height - cut[3] * height))))


def junk(kind: str, photo: Image.Image, seed: int) -> bytes:
    """A picture of `kind`, of the size of `photo`; `dark` and `small` are made of `photo` itself."""
    chance = random.Random(seed)
    size = photo.size
    if kind == "dark":
        return saved(photo.point([int(level * chance.uniform(0.02, 0.1)) for level in range(256)] * 3))
    if kind == "small":
        side = chance.randint(12, 32)
        return saved(photo.resize((side, side)))
    paper = tuple(chance.choice(((255, 255, 255), (0, 0, 0), (240, 240, 230), _colour(chance))))
    page = Image.new("RGB", size, paper)
    if kind == "blank":
        if chance.random() < 0.5:
            noise = np.random.default_rng(seed).normal(0, 2, (size[1], size[0], 3))
            page = Image.fromarray((np.asarray(page) + noise).clip(0, 255).astype(np.uint8))
        return saved(page)
    draw = ImageDraw.Draw(page)
    ink = (0, 0, 0) if sum(paper) > 380 else (255, 255, 255)
    if kind == "text":
        step = chance.randint(14, 40)
        for top in range(8, size[1] - step, step):
            line = " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, 6)))
            draw.text((8, top), line, fill=ink, font_size=step - 4)
        return saved(page)
    for _ in range(chance.randint(3, 10)):
        x, y = chance.randint(0, size[0]), chance.randint(0, size[1])
        wide, high = chance.randint(10, size[0] // 2), chance.randint(10, size[1] // 2)
        shape = chance.choice((draw.ellipse, draw.rectangle))
        shape((x - wide, y - high, x + wide, y + high), fill=_colour(chance), outline=ink, width=3)
    return saved(page.filter(ImageFilter.SMOOTH))


def _colour(chance: random.Random) -> tuple[int, int, int]:
    return chance.randint(0, 255), chance.randint(0, 255), chance.randint(0, 255)
