"""How much memory a photo takes while it is decoded and prepared, told from its header.

A pod has 1 GiB for everything. Files of a few hundred bytes can announce any size, and what a pixel takes depends on
the format: an eighth of a byte in a JPEG that is decoded at a part of its size, 16 bytes in a WebP.
"""

from PIL import Image, ImageFile, JpegImagePlugin

from catsdogs.errors import TooManyPixels
from catsdogs.jpeg import PROGRESSIVE, draft_scale
from catsdogs.scans import first

BYTES_A_PIXEL = 6.25
"""Of the most pixels that a photo may have: 400 MB for 64 megapixels."""
ALWAYS = 16_000_000  # bytes, however few the pixels

# Bytes a pixel, measured on photos of 4 to 64 megapixels.
WEBP = 16  # two canvases, a copy in Python, and the picture
RGB = 4  # Pillow keeps colours in four bytes
OF_MODE = {"1": 1, "L": 1, "P": 1, "I;16": 2}  # any other: 4
OF_ANIMATION = {"GIF": 2, "PNG": 1}
OF_RESIZING = 16  # a row and a column: weights

BLOCK = 8  # pixels a side
COEFFICIENTS = 2 * BLOCK * BLOCK  # bytes of a block


def check_footprint(image: ImageFile.ImageFile, data: bytes, side: int, max_pixels: int) -> None:
    """Raises TooManyPixels. `side`: that a JPEG is drafted to, as it is of Pillow's `draft`."""
    taken, allowed = footprint(image, data, side), max(ALWAYS, int(BYTES_A_PIXEL * max_pixels))
    if taken > allowed:
        width, height = image.size
        raise TooManyPixels(
            "too-many-pixels", f"{width} x {height} pixels in this kind of {image.format} take {taken / 1e6:,.0f} MB "
            f"to decode, more than {allowed / 1e6:,.0f} MB: save the photo smaller, or as an ordinary JPEG.")


def footprint(image: ImageFile.ImageFile, data: bytes, side: int) -> int:
    """Bytes at the peak, of a photo that is opened but neither drafted nor decoded."""
    width, height = image.size
    if image.format == "WEBP":
        return WEBP * width * height
    coefficients = 0
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        coefficients = _coefficients(image, data)
        scale = draft_scale(width, height, side)
        width, height = -(-width // scale), -(-height // scale)
    decoded = OF_MODE.get(image.mode, RGB)
    # Room for one more picture in RGB: what is turned is copied, in its own mode, and what is not RGB is converted.
    prepared = (decoded + RGB + OF_ANIMATION.get(_kind(image), 0)) * width * height + OF_RESIZING * (width + height)
    return max(coefficients + decoded * width * height, prepared)


def _kind(image: Image.Image) -> str:
    still = image.format == "PNG" and not getattr(image, "is_animated", False)
    return "" if still else str(image.format)


def _coefficients(image: JpegImagePlugin.JpegImageFile, data: bytes) -> int:
    """Bytes of all blocks at full size, which the decoder keeps unless the first scan brings all there is: libjpeg's
    `has_multiple_scans`."""
    frame, in_scan = first(data)
    if frame != PROGRESSIVE and in_scan == image.layers:
        return 0
    across, down = (max((layer[axis] for layer in image.layer), default=1) or 1 for axis in (1, 2))
    blocks = 0
    for _, horizontal, vertical, _ in image.layer:
        blocks += (_padded(image.width * horizontal, BLOCK * across, horizontal)
                   * _padded(image.height * vertical, BLOCK * down, vertical))
    return COEFFICIENTS * blocks


def _padded(length: int, divisor: int, factor: int) -> int:
    """Blocks along a side, up to a multiple of the sampling factor."""
    return -(-(-(-length // divisor)) // max(1, factor)) * factor
