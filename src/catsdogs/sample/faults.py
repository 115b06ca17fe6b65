"""What real folders of photos hold beside good photos, planted so that the data checks have something to find."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from catsdogs.sample.look import Random
from catsdogs.sample.picture import draw_jpeg, draw_picture

BAD_SHARE = 0.03  # of the pictures, safely below ingest's default limit of 5 %
FIRST_EXTRA = 1_000_000  # numbers of extra pictures, apart from those of the sample itself


@dataclass(frozen=True)
class Planted:
    """One file. `label` is the folder it lies in; `made` its bytes when called, so that planning costs nothing."""

    label: str
    name: str
    kind: str
    made: Callable[[], bytes]


def planted(
    per_class: int, drawn: Callable[[str, int], bytes], random_of: Callable[[str, int], Random]
) -> Iterator[Planted]:
    """The faults for a sample of this size. `drawn(label, number)` gives a picture of the sample itself."""
    yield Planted("cat", "Thumbs.db", "system-file", lambda: b"\xd0\xcf\x11\xe0" + bytes(508))
    yield Planted("dog", ".DS_Store", "system-file", lambda: b"\x00\x00\x00\x01Bud1" + bytes(120))
    for number in range(per_class // 60 + 1):
        label = ("cat", "dog")[number % 2]
        other = "dog" if label == "cat" else "cat"
        yield Planted(label, f"copy of {number + 1:04}.jpg", "exact-duplicate", partial(drawn, label, number))
        yield Planted(label, f"{number + 3:04} small.jpg", "near-duplicate", partial(_resaved_of, drawn, label, number))
        yield Planted(label, f"label{number + 1:04}.jpg", "mislabelled",
                      partial(draw_jpeg, other, random_of(other, FIRST_EXTRA + number)))
    if per_class >= 20:
        for number, (name, convert) in enumerate(ODD_FORMATS.items()):
            label = ("cat", "dog")[number % 2]
            random = random_of(label, FIRST_EXTRA + 1000 + number)
            yield Planted(label, name, "odd-format", partial(_converted, convert, label, random))
    for number in range(int(BAD_SHARE * 2 * per_class)):
        label = ("cat", "dog")[number % 2]
        kind = ("truncated", "text", "empty")[number % 3]
        random = random_of(label, FIRST_EXTRA + 2000 + number)
        yield Planted(label, f"{kind}{number + 1}.jpg", kind, partial(_broken_of, kind, label, random))


def _resaved_of(drawn: Callable[[str, int], bytes], label: str, number: int) -> bytes:
    return resaved(drawn(label, number + 2))


def _converted(convert: Callable[[Image.Image], bytes], label: str, random: Random) -> bytes:
    return convert(draw_picture(label, random))


def _broken_of(kind: str, label: str, random: Random) -> bytes:
    return broken(kind, draw_jpeg(label, random))


def broken(kind: str, photo: bytes) -> bytes:
    """What is left of a photo: half of its bytes, a sentence, or nothing."""
    return {"truncated": photo[:len(photo) // 2], "text": b"404: this photo has moved\n", "empty": b""}[kind]


def resaved(photo: bytes) -> bytes:
    """The same picture at three quarters of its size and a lower quality."""
    with Image.open(io.BytesIO(photo)) as image:
        smaller = image.resize((image.width * 3 // 4, image.height * 3 // 4))
        return _saved(smaller, "JPEG", quality=60, exif=image.getexif())


def _saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _sixteen_bits(image: Image.Image) -> bytes:
    return _saved(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG")


def _animated(image: Image.Image) -> bytes:
    small = image.resize((160, 160))
    return _saved(small, "GIF", save_all=True, append_images=[small.rotate(4), small.rotate(-4)], duration=120)


# Good photos, whatever their names say: all of them are to be kept.
ODD_FORMATS: dict[str, Callable[[Image.Image], bytes]] = {
    "really a png.jpg": lambda image: _saved(image, "PNG"),
    "really a webp.jpg": lambda image: _saved(image, "WEBP"),
    "really a gif.jpg": lambda image: _saved(image, "GIF"),
    "really a bmp.jpg": lambda image: _saved(image, "BMP"),
    "grey.jpg": lambda image: _saved(image.convert("L"), "JPEG"),
    "for print.jpg": lambda image: _saved(image.convert("CMYK"), "JPEG"),
    "palette.png": lambda image: _saved(image.quantize(64), "PNG", transparency=0),
    "sixteen bits.png": _sixteen_bits,
    "animated.gif": _animated,
}
