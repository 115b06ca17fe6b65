"""Small real photos of every kind, good and bad, made on the spot."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (48, 32)) -> Image.Image:
    """A smooth random picture: its perceptual hash is far from that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, file_format: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def jpeg(seed: int, size: tuple[int, int] = (48, 32), quality: int = 90) -> bytes:
    return encoded(picture(seed, size), quality=quality)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_raw(folder: Path, per_class: int = 6, labels: tuple[str, ...] = ("Cat", "Dog"), first: int = 0) -> Path:
    """`folder/<label>/<n>.jpg`, all different."""
    for offset, label in enumerate(labels):
        for number in range(per_class):
            write(folder / label / f"{number}.jpg", jpeg(first + 10_000 * offset + number))
    return folder


def odd_but_good() -> dict[str, bytes]:
    """Photos in every format and mode that a person may send, whatever their names say."""
    base = picture(77)
    animated = [picture(78), picture(79)]
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "png.jpg": encoded(picture(70), "PNG"),
        "gif.jpg": encoded(picture(71), "GIF"),
        "bmp.jpg": encoded(picture(72), "BMP"),
        "webp.jpg": encoded(picture(73), "WEBP"),
        "cmyk.jpg": encoded(picture(74).convert("CMYK")),
        "grey.jpg": encoded(picture(75).convert("L")),
        "palette.png": encoded(picture(76).quantize(16), "PNG", transparency=3),
        "sixteen.png": encoded(Image.fromarray(np.asarray(base.convert("L")).astype(np.uint16) * 257), "PNG"),
        "animated.gif": encoded(animated[0], "GIF", save_all=True, append_images=animated[1:]),
        "turned.jpg": encoded(picture(80), exif=exif),
        "rgba.png": encoded(picture(81).convert("RGBA"), "PNG"),
        "bilevel.png": encoded(picture(82).convert("1"), "PNG"),
    }


def bad() -> dict[str, tuple[bytes, str]]:
    """Files that are no usable photo, with the reason that each must be given."""
    huge = Image.new("1", (20_000, 20_000))
    return {
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"this is no photo, whatever its name says", "not-an-image"),
        "truncated.jpg": (jpeg(90, (200, 200))[:-900], "truncated"),
        "tiny.png": (encoded(Image.new("RGB", (1, 1)), "PNG"), "too-small"),
        "huge.png": (encoded(huge, "PNG"), "too-many-pixels"),
        "Thumbs.db": (b"\xd0\xcf\x11\xe0" * 9, "system-file"),
        ".DS_Store": (b"\x00\x00\x00\x01Bud1", "system-file"),
    }
