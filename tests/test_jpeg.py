"""Ordinary JPEGs are decoded without the part of Pillow in Python: pixels are the same, the rest goes the full way."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from catsdogs import images
from catsdogs.errors import BadImage
from catsdogs.images import MAX_PIXELS, MIN_SIDE, opened, prepare, square, upright_rgb
from catsdogs.jpeg import header, ordinary
from tests.photos import encoded, picture

SMALL = encoded(picture(1, (500, 375)), quality=90)


def full_way(data: bytes, side: int) -> np.ndarray:
    with opened(data) as image:
        image.draft("RGB", (side, side))
        return square(upright_rgb(image), side)


def taken(data: bytes, side: int) -> np.ndarray | None:
    return ordinary(data, side, MIN_SIDE, MAX_PIXELS)


@settings(max_examples=60, deadline=None)
@given(width=st.integers(8, 700), height=st.integers(8, 700), side=st.integers(8, 230), quality=st.integers(1, 100),
       subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]), optimize=st.booleans(), seed=st.integers(0, 99))
def test_pixels_are_those_of_the_full_way(
    width: int, height: int, side: int, quality: int, subsampling: str, optimize: bool, seed: int
) -> None:
    data = encoded(picture(seed, (width, height)), quality=quality, subsampling=subsampling, optimize=optimize)
    found = taken(data, side)
    assert found is not None and found.dtype == np.uint8 and np.array_equal(found, full_way(data, side))
    assert header(data) is not None and header(data)[:2] == (width, height)  # type: ignore[index]


def test_serving_and_preprocessing_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = full_way(SMALL, 96)
    monkeypatch.setattr(images, "opened", None)
    assert np.array_equal(prepare(SMALL, 96), expected)


def with_adobe_colours(transform: int) -> bytes:
    """Three components, which Adobe's marker calls RGB (0) or YCbCr (1)."""
    return SMALL[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform]) + SMALL[2:]


@pytest.mark.parametrize("data", [
    encoded(picture(1, (500, 375)), icc_profile=b"p" * 3000, comment=b"c"), SMALL + b"rest" * 100,
    SMALL + SMALL, with_adobe_colours(0), with_adobe_colours(1), encoded(picture(1, (8, 8))),
], ids=["profile", "more after it", "twice", "adobe-rgb", "adobe-ycc", "smallest"])
def test_odd_ones_are_the_same_too(data: bytes) -> None:
    found = taken(data, 100)
    assert found is not None and np.array_equal(found, full_way(data, 100))


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(1, (500, 375)), exif=exif.tobytes())


def two_in_one() -> bytes:
    buffer = io.BytesIO()
    picture(1, (90, 90)).save(buffer, "MPO", save_all=True, append_images=[picture(2, (90, 90))])
    return buffer.getvalue()


@pytest.mark.parametrize("data", [
    turned(), two_in_one(), encoded(picture(1, (90, 90)), progressive=True), encoded(picture(1, (90, 90)).convert("L")),
    encoded(picture(1, (90, 90)).convert("CMYK")), encoded(picture(1, (90, 90)), "PNG"),
], ids=["exif", "mpo", "progressive", "grey", "cmyk", "png"])
def test_whatever_is_unusual_goes_the_full_way(data: bytes) -> None:
    assert taken(data, 64) is None and np.array_equal(prepare(data, 64), full_way(data, 64))


@pytest.mark.parametrize(("data", "reason"), [
    (SMALL[:-2000], "truncated"), (SMALL[:700], "truncated"), (b"", "empty"), (SMALL[:3], "not-an-image"),
    (encoded(picture(1, (7, 90))), "too-small"), (b"\xff\xd8" + bytes(100), "not-an-image"),
])
def test_what_is_wrong_is_told_as_before(data: bytes, reason: str) -> None:
    assert taken(data, 64) is None
    with pytest.raises(BadImage) as raised:
        prepare(data, 64)
    assert raised.value.reason == reason


def test_too_many_pixels_are_not_decoded() -> None:
    assert ordinary(SMALL, 64, MIN_SIDE, 500 * 375) is not None
    assert ordinary(SMALL, 64, MIN_SIDE, 500 * 375 - 1) is None


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, len(SMALL) - 1), byte=st.integers(0, 255))
def test_damage_is_answered_as_the_full_way_answers_it_or_refuses_it(place: int, byte: int) -> None:
    """Pillow's own reading of the header refuses some that the decoder makes the most of: never another photo."""
    data = SMALL[:place] + bytes([byte]) + SMALL[place + 1:]
    found = taken(data, 64)
    try:
        expected = full_way(data, 64)
    except BadImage:
        return
    if found is not None:
        assert np.array_equal(found, expected)
