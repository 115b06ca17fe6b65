"""One file's bytes -> what can be said of it without knowing the others."""

from dataclasses import dataclass

import imagehash

from catsdogs.errors import BadImage
from catsdogs.files import sha256
from catsdogs.images import opened, upright_rgb

HASH_SOURCE = 64  # decoding JPEGs down to no less than this takes half the time and leaves the hash alike
ORIENTATION = 0x0112  # EXIF tag
QUARTER_TURNS_FROM = 5  # its values 5 to 8 swap the sides


@dataclass(frozen=True, kw_only=True)
class Examination:
    """`reason` is empty for a usable photo. `digest` is empty where the bytes could not even be read."""

    digest: str
    format: str = ""
    width: int = 0
    height: int = 0
    phash: str = ""
    reason: str = ""


def examine(data: bytes, digest: str = "") -> Examination:
    """Decode a photo to its end. `phash`: 64-bit DCT hash (Zauner 2010), of the upright photo."""
    digest = digest or sha256(data)
    try:
        with opened(data) as image:
            photo_format = str(image.format)
            width, height = image.size
            if image.getexif().get(ORIENTATION, 1) >= QUARTER_TURNS_FROM:
                width, height = height, width
            image.draft("RGB", (HASH_SOURCE, HASH_SOURCE))
            photo = upright_rgb(image)
    except BadImage as error:
        return Examination(digest=digest, reason=error.reason)
    phash = str(imagehash.phash(photo))
    return Examination(digest=digest, format=photo_format, width=width, height=height, phash=phash)
