"""Where the animal is, and what a camera makes of it. The same for both classes."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from catsdogs.sample.look import Colour, Random

GROUNDS: tuple[Colour, ...] = ((96, 140, 70), (150, 120, 90), (170, 164, 156), (120, 90, 70), (210, 190, 150))
WALLS: tuple[Colour, ...] = ((150, 190, 225), (220, 210, 196), (186, 204, 190), (206, 176, 168), (120, 130, 150))


def background(size: tuple[int, int], random: Random) -> Image.Image:
    """Wall and ground with some clutter."""
    width, height = size
    image = Image.new("RGB", size, _near(WALLS[random.integers(len(WALLS))], random))
    draw = ImageDraw.Draw(image)
    horizon = int(height * random.uniform(0.45, 0.85))
    draw.rectangle((0, horizon, width, height), fill=_near(GROUNDS[random.integers(len(GROUNDS))], random))
    for _ in range(random.integers(0, 5)):
        x, y = random.uniform(0, width), random.uniform(0, height)
        w, h = random.uniform(0.05, 0.35, 2) * (width, height)
        colour = _near((WALLS + GROUNDS)[random.integers(len(WALLS) + len(GROUNDS))], random, 60)
        if random.random() < 0.5:
            draw.ellipse((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=colour)
        elif random.random() < 0.5:
            draw.rectangle((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=colour)
        else:
            draw.polygon([(x, y), (x + w, y + h), (x - w, y + h)], fill=colour)
    return image.filter(ImageFilter.BoxBlur(float(random.uniform(0, 4))))


def clutter_in_front(image: Image.Image, random: Random) -> None:
    """A fence post, a cushion, a leaf: something that hides a part."""
    draw = ImageDraw.Draw(image)
    width, height = image.size
    colour = _near(GROUNDS[random.integers(len(GROUNDS))], random, 50)
    if random.random() < 0.5:
        x = random.uniform(0.1, 0.9) * width
        draw.rectangle((x, 0, x + width * random.uniform(0.04, 0.12), height), fill=colour)
    else:
        top = height * random.uniform(0.6, 0.85)
        draw.ellipse((-width * 0.2, top, width * random.uniform(0.5, 1.2), height * 1.4), fill=colour)


def photographed(image: Image.Image, random: Random) -> Image.Image:
    """Light, colour cast, blur and sensor noise."""
    if random.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0.3, 2.2))))
    pixels = np.asarray(image).astype(np.float32)
    height, width = pixels.shape[:2]
    left, right = random.uniform(0.7, 1.2, 2)
    slope = np.linspace(left, right, width, dtype=np.float32)[None, :, None]
    cast = random.uniform(0.88, 1.12, 3).astype(np.float32)
    contrast, level = random.uniform(0.75, 1.1), random.uniform(-20, 15)
    pixels = (pixels - 128) * np.float32(contrast) + np.float32(128 + level)
    pixels = pixels * (slope * cast)
    pixels += random.standard_normal((height, width, 1), dtype=np.float32) * np.float32(random.uniform(1, 9))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _near(colour: Colour, random: Random, amount: int = 25) -> Colour:
    red, green, blue = (int(np.clip(channel + random.integers(-amount, amount + 1), 0, 255)) for channel in colour)
    return red, green, blue
