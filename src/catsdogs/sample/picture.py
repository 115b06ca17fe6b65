"""One drawn photo: the scene, the animal in it, the camera."""

import io

import numpy as np
from PIL import Image, ImageDraw

from catsdogs.sample.cat import draw_cat
from catsdogs.sample.dog import draw_dog
from catsdogs.sample.look import Brush, Random, random_look
from catsdogs.sample.scene import background, clutter_in_front, photographed

ANIMALS = {"cat": draw_cat, "dog": draw_dog}
FINER = 2  # animals are drawn at twice the size and scaled down: smooth edges
QUARTER_LEFT = 8  # EXIF orientation: the camera was turned


def random_for(seed: int, label: str, number: int) -> Random:
    """Each picture has its own random numbers, so that a larger sample begins with a smaller one's pictures."""
    return np.random.default_rng((seed, sorted(ANIMALS).index(label), number))


def draw_picture(label: str, random: Random) -> Image.Image:
    """An RGB picture of 200 to 420 pixels a side."""
    width, height = (int(side) for side in random.integers(200, 421, 2))
    image = background((width, height), random)
    side = int(min(width, height) * random.uniform(0.95, 1.3))
    layer = Image.new("RGBA", (side * FINER, side * FINER))
    look = random_look(random)
    unit = side * FINER * {"face": 0.36, "sitting": 0.23, "lying": 0.27}[look.pose]
    middle = side * FINER * {"face": 0.52, "sitting": 0.38, "lying": 0.45}[look.pose]
    ANIMALS[label](Brush(ImageDraw.Draw(layer), side * FINER / 2, middle, unit), look, random)
    if random.random() < 0.5:
        layer = layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    layer = layer.reduce(FINER).rotate(float(random.uniform(-22, 22)), Image.Resampling.BILINEAR)
    x = int((width - side) * random.uniform(0.1, 0.9))
    y = int((height - side) * random.uniform(0.2, 0.9))
    image.paste(layer, (x, y), layer)
    if random.random() < 0.2:
        clutter_in_front(image, random)
    return photographed(image, random)


def draw_jpeg(label: str, random: Random) -> bytes:
    """The picture as a camera stores it; one in twenty lies on its side, with the EXIF turn that puts it right."""
    image = draw_picture(label, random)
    quality, turned = int(random.integers(55, 96)), random.random() < 0.05
    exif = Image.Exif()
    if turned:
        exif[0x0112] = QUARTER_LEFT
        image = image.transpose(Image.Transpose.ROTATE_270)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()
