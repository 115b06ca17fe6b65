"""Ordinary JPEGs: what their first bytes say, and their pixels without Pillow's part in Python.

Of the 0.70 ms that preparing a photo of 500 x 375 takes, that part takes 0.08. The decoder, and so every pixel, is the
same; whatever is unusual or wrong goes the full way, which says what it is (images.py).
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

PROGRESSIVE = 0xC2
FRAMES = (0xC0, 0xC1, PROGRESSIVE)  # baseline, extended, progressive; with Huffman's code
SCAN = 0xDA
EXIF_OR_XMP, MULTI_PICTURE = 0xE1, 0xE2
MOST_SEGMENTS = 32  # before the first scan
LATEST_SCAN = 32_000  # bytes before it: 64 kB of EXIF take 11 ms
SCALES = (8, 4, 2, 1)  # Pillow's, of a photo that is decoded at a part of its size
DONE = -1


class Header(NamedTuple):
    width: int
    height: int
    frame: int  # its marker
    components: int
    in_scan: int  # of them, in the first scan
    bare: bool  # nothing that may turn the photo, or hold another one
    scan: int  # place of the first

    @property
    def in_one_scan(self) -> bool:
        """Of all components, and not progressive: the decoder reads no other scan."""
        return self.frame != PROGRESSIVE and self.in_scan == self.components

    @property
    def plain(self) -> bool:
        """Decoded without Pillow's part in Python."""
        return self.bare and self.in_one_scan and self.components == 3


def header(data: bytes) -> Header | None:
    """Of a JPEG of the ordinary kind, up to its first scan, in 4 us; nothing is decoded."""
    if not data.startswith(b"\xff\xd8"):
        return None
    place, frame, width, height, components, bare = 2, 0, 0, 0, 0, True
    for _ in range(MOST_SEGMENTS):
        if place + 10 > len(data) or place > LATEST_SCAN or data[place] != 0xFF:
            return None
        marker, length = data[place + 1], int.from_bytes(data[place + 2:place + 4])
        if marker == SCAN:
            return Header(width, height, frame, components, data[place + 4], bare, place) if frame else None
        if marker in FRAMES and not frame:
            frame, components = marker, data[place + 9]
            height, width = int.from_bytes(data[place + 5:place + 7]), int.from_bytes(data[place + 7:place + 9])
        elif not (marker in (0xC4, 0xDB, 0xDD, 0xFE) or 0xE0 <= marker <= 0xEF) or length < 2:
            return None  # a second frame, or none of: tables, restarts, a comment, what applications note
        elif marker == EXIF_OR_XMP or (marker == MULTI_PICTURE and data.startswith(b"MPF", place + 4)):
            bare = False
        place += 2 + length
    return None


def draft_scale(width: int, height: int, side: int) -> int:
    """By what a JPEG is divided that is to be at least `side` pixels a side, where it is."""
    fits = min(width // side, height // side)
    return next((scale for scale in SCALES if fits >= scale), 1)


def ordinary(data: bytes, side: int, smallest: int, max_pixels: int) -> npt.NDArray[np.uint8] | None:
    """uint8 [side, side, 3] of an ordinary JPEG in colour, decoded at a part of its size where that is enough, and
    stretched. None for anything else: less than `smallest` pixels a side, more than `max_pixels`, damage."""
    found = header(data)
    if found is None or not found.plain or (
            min(found.width, found.height) < smallest or found.width * found.height > max_pixels):
        return None
    scale = draft_scale(found.width, found.height, side)
    size = -(-found.width // scale), -(-found.height // scale)
    core: Any = Image.core  # type: ignore[attr-defined]  # it is not promised
    try:
        image = core.new("RGB", size)
        decoder = core.jpeg_decoder("RGB", "RGB", "", scale, 0)
        decoder.setimage(image, (0, 0, *size))
        if decoder.decode(data) != (DONE, 0):
            return None
        if size != (side, side):
            image = image.resize((side, side), Image.Resampling.BILINEAR, (0, 0, *size))
        encoder = core.raw_encoder("RGB", "RGB", 0, 1)
        encoder.setimage(image, (0, 0, side, side))
        _, _, pixels = encoder.encode(3 * side * side)
        return np.frombuffer(pixels, np.uint8).reshape(side, side, 3)
    except (MemoryError, ImportError):
        raise
    except Exception:  # the full way says what is wrong with the photo; with another Pillow, nothing is
        return None
