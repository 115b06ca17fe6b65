"""Bytes -> checked RGB -> pixels: the one preparation of a photo, for training, serving and evaluation.

Imports no torch: the server uses this file as it is.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from catsdogs.errors import BadImage, TooManyPixels
from catsdogs.footprint import check_footprint
from catsdogs.jpeg import ordinary
from catsdogs.metered import Metered
from catsdogs.scans import check_scans

PREPARATION = "stretch-bilinear-1"
"""Names what `prepare` does; a model records it, and is refused where it differs."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
# MPO is what many phones write under the name .jpg; Pillow opens it as JPEG and then calls it MPO.
EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "GIF": "gif", "BMP": "bmp", "WEBP": "webp"}
MAX_PIXELS = 64_000_000
MAX_PIXELS_IN_PYTHON = 500_000
"""Of formats that Pillow decodes in Python, byte by byte: 0.15 s. A BMP of 33 kB and 64 megapixels took 24 s."""
MIN_SIDE = 8
USUAL_SIDE = 256  # at most, that JPEGs are drafted to where nothing else is said
BAND = 500_000  # pixels

Pixels = npt.NDArray[np.uint8]


@contextmanager
def opened(data: bytes, max_pixels: int = MAX_PIXELS, side: int = USUAL_SIDE) -> Iterator[Image.Image]:
    """Read the header of a photo and check it; no pixel is decoded yet. `side`: what the caller will draft a JPEG to.

    Raises BadImage (`empty`, `not-an-image`, `too-small`, `too-many-parts`, `too-many-scans`, `slow-format`,
    `truncated`, `broken`) and TooManyPixels; errors that Pillow raises while the caller decodes are turned into
    BadImage as well.
    """
    if not data:
        raise BadImage("empty", "The file is empty.")
    with warnings.catch_warnings():
        # Pillow warns about odd EXIF blocks and about sizes that we judge ourselves, below.
        warnings.simplefilter("ignore")
        file = Metered(data)
        try:
            image = Image.open(file, formats=FORMATS)
        except BadImage:
            raise
        except UnidentifiedImageError:
            raise BadImage("not-an-image", f"Not a photo: none of {', '.join(FORMATS)}.") from None
        except Image.DecompressionBombError:
            raise TooManyPixels("too-many-pixels", f"More than {max_pixels:,} pixels.") from None
        except Exception as error:  # a hostile header may raise nearly anything, in any of Pillow's parsers
            raise BadImage("broken", f"The photo's header is broken: {error}.") from None
        with image:
            _check_size(image.size, max_pixels)
            _check_cost(image, data)
            check_footprint(image, data, side, max_pixels)
            file.decode()
            try:
                yield image
            except (BadImage, MemoryError, ImportError):
                raise
            except Exception as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the machine's fault; Pillow's own complaints about a photo carry no number
                reason = "truncated" if "truncated" in str(error) else "broken"
                raise BadImage(reason, f"The photo cannot be decoded: {error}.") from None


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise TooManyPixels("too-many-pixels", f"{width} x {height} is more than {max_pixels:,} pixels.")
    if min(size) < MIN_SIDE:
        raise BadImage("too-small", f"{width} x {height} is too small: at least {MIN_SIDE} pixels a side.")


def _check_cost(image: ImageFile.ImageFile, data: bytes) -> None:
    """Of what takes far longer than its bytes and pixels say."""
    width, height = image.size
    if width * height > MAX_PIXELS_IN_PYTHON and any(tile[0] in Image.DECODERS for tile in image.tile):
        raise BadImage("slow-format", f"{width} x {height} pixels compressed in this way take too long to decode: "
                       "save the photo as PNG.")
    if image.format in ("JPEG", "MPO"):
        check_scans(data, image.size)


def upright_rgb(image: Image.Image) -> Image.Image:
    """The first frame, turned as its EXIF orientation says, as 8-bit RGB; transparency becomes white."""
    image.getexif()  # is remembered
    for name in ("exif", "Raw profile type exif"):
        image.info.pop(name, None)  # or it is written anew without the turn, which fails for some; 0.7 MB took 1.4 s
    ImageOps.exif_transpose(image, in_place=True)  # otherwise it copies what is upright already
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        return _in_bands(image, _from_16_bits)
    if image.has_transparency_data:
        return _in_bands(image, _on_white)
    return image.convert("RGB")


def _in_bands(image: Image.Image, as_rgb: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Some pixels at a time, however wide a row: with whole copies on the way a transparent photo took 23 bytes a
    pixel, not 8."""
    result = Image.new("RGB", image.size)
    width = min(image.width, BAND)
    height = max(1, BAND // width)
    for top in range(0, image.height, height):
        for left in range(0, image.width, width):
            box = left, top, min(left + width, image.width), min(top + height, image.height)
            result.paste(as_rgb(image.crop(box)), (left, top))
    return result


def _from_16_bits(band: Image.Image) -> Image.Image:
    """Greyscale: Pillow's own conversion clips at 255 instead of scaling."""
    grey = np.asarray(band).astype(np.uint32)
    return Image.fromarray((grey >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")


def _on_white(band: Image.Image) -> Image.Image:
    rgba = band.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def prepare(data: bytes, image_size: int, max_pixels: int = MAX_PIXELS) -> Pixels:
    """An encoded photo -> uint8 [image_size, image_size, 3], RGB, upright.

    The photo is stretched to a square, so that no part of the animal is cut off. JPEGs of at least twice the
    size are decoded at a half, quarter or eighth of it: never below `image_size`, and the same in training and
    serving, so it changes no answer. Raises what `opened` raises.
    """
    if (pixels := ordinary(data, image_size, MIN_SIDE, max_pixels)) is not None:
        return pixels
    with opened(data, max_pixels, image_size) as image:
        image.draft("RGB", (image_size, image_size))
        return square(upright_rgb(image), image_size)


def square(image: Image.Image, image_size: int) -> Pixels:
    """An upright RGB image stretched to uint8 [image_size, image_size, 3]."""
    if image.size != (image_size, image_size):
        image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def encode(pixels: Pixels, file_format: str = "PNG") -> bytes:
    """uint8 [height, width, 3] as PNG (exact: `prepare` at that size gives the same pixels) or JPEG."""
    buffer = io.BytesIO()
    if file_format == "JPEG":
        Image.fromarray(pixels).save(buffer, "JPEG", quality=92)
    else:
        Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
