"""Photos as pictures inside the page: small, re-encoded, so that nothing of a hostile file survives."""

import base64
import io
from pathlib import Path

from PIL import Image

from catsdogs.doctor.html import Html, tag
from catsdogs.errors import BadImage
from catsdogs.images import Pixels, opened, upright_rgb

SIDE = 120  # pixels; about 3 kB each


def thumbnail(path: Path) -> Html:
    """An `img`, or a box that says why there is none."""
    try:
        with opened(path.read_bytes()) as image:
            image.draft("RGB", (SIDE, SIDE))
            photo = upright_rgb(image)
    except FileNotFoundError:
        return none("file gone")
    except BadImage as error:
        return none(error.reason)
    photo.thumbnail((SIDE, SIDE))
    return _img(photo, "JPEG", "")


def pixels(view: Pixels) -> Html:
    """The photo as a network sees it."""
    return _img(Image.fromarray(view), "PNG", "pixels")


def none(why: str) -> Html:
    return tag("div", why, class_="none")


def _img(photo: Image.Image, file_format: str, kind: str) -> Html:
    buffer = io.BytesIO()
    photo.save(buffer, file_format, quality=75)
    data = base64.b64encode(buffer.getvalue()).decode()
    # The caption beside it says what it is: a screen reader need not say it twice.
    return tag("img", src=f"data:image/{file_format.lower()};base64,{data}", alt="", loading="lazy", class_=kind)
