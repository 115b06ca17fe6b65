"""Photos that may be decoded on the event loop, and those that would stop it."""

import io
import struct

import pytest
from PIL import Image

from catsdogs.serve.quick import MOST_BYTES, MOST_BYTES_IN_SCANS, is_quick
from tests.photos import encoded, picture

SMALL = encoded(picture(1, (500, 375)), quality=90)
PROGRESSIVE = encoded(picture(1, (500, 375)), progressive=True)
END = b"\xff\xd9"


def with_exif(length: int) -> bytes:
    return encoded(picture(2, (64, 64)), exif=b"Exif\0\0" + bytes(length))


def of_two_frames() -> bytes:
    frame = SMALL.index(b"\xff\xc0")
    small = bytearray(SMALL[frame:frame + 19])
    small[5:9] = b"\0\x08\0\x08"
    return SMALL[:frame] + bytes(small) + SMALL[frame:]


def repeating_its_last_scan(times: int) -> bytes:
    data = encoded(picture(3, (300, 300)), progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * times + END


def with_scans_of_one_component(times: int) -> bytes:
    """A baseline JPEG whose only scan says that it holds the first component, and is there so many times."""
    scan = SMALL.rindex(b"\xff\xda")
    (length,) = struct.unpack(">H", SMALL[scan + 2:scan + 4])
    header = b"\xff\xda" + struct.pack(">HB", length - 4, 1) + SMALL[scan + 5:scan + 7] + SMALL[scan + 11:scan + 14]
    return SMALL[:scan] + (header + b"\0" * 100) * times + END


@pytest.mark.parametrize("data", [
    SMALL,
    encoded(picture(1, (500, 375)), progressive=True),
    encoded(picture(1, (500, 375)).convert("L")),
    encoded(picture(1, (500, 375)).convert("CMYK")),
    encoded(picture(1, (500, 375)), icc_profile=b"p" * 3000, comment=b"c"),
    with_exif(7000),
    encoded(picture(1, (500, 375)), icc_profile=b"p" * 20_000),
    encoded(picture(1, (500, 500)), progressive=True),
], ids=["baseline", "progressive", "grey", "cmyk", "profile", "exif", "large profile", "most in scans"])
def test_small_jpegs_are_quick(data: bytes) -> None:
    assert is_quick(data)


@pytest.mark.parametrize("data", [
    b"", b"\xff\xd8", SMALL[:100], b"no photo", b"\xff\xd8" * 50, b"\xff\xd8\xff" + bytes(50),
    encoded(picture(1, (500, 375)), "PNG"),
    encoded(picture(1, (1000, 501))),
    SMALL[:-2] + bytes(MOST_BYTES) + END,
    repeating_its_last_scan(20),
    with_scans_of_one_component(20),
    SMALL[:2] + b"\xff\xfe\x00\x02" * 40 + SMALL[2:],
    with_exif(9000),
    with_exif(31_000),
    encoded(picture(1, (500, 375)).convert("L"), icc_profile=b"p" * 9000),
    encoded(picture(1, (500, 375)), progressive=True, icc_profile=b"p" * 9000),
    encoded(picture(1, (501, 500)), progressive=True),
    PROGRESSIVE[:-2] + bytes(MOST_BYTES_IN_SCANS - len(PROGRESSIVE) + 1) + END,
    with_scans_of_one_component(2) + bytes(MOST_BYTES_IN_SCANS),
    of_two_frames(),
], ids=["empty", "start", "truncated", "text", "starts", "zeros", "png", "large", "long", "scans",
        "part scans", "segments", "exif", "more exif", "grey and tables", "progressive and tables", "large progressive",
        "long progressive", "long part scans", "frames"])
def test_whatever_may_take_long_is_not(data: bytes) -> None:
    assert not is_quick(data)


def test_what_is_said_to_be_quick_is_as_small_as_pillow_sees_it() -> None:
    """Its own reading of the size must not be led to another frame than the decoder's."""
    for width, height in ((707, 707), (708, 707), (8, 62_500), (62_501, 8)):
        data = encoded(Image.new("RGB", (width, height)))
        with Image.open(io.BytesIO(data)) as image:
            assert is_quick(data) == (image.width * image.height <= 500_000)


def test_after_a_scan_that_holds_everything_no_other_is_decoded() -> None:
    data = encoded(picture(1, (60, 40)), quality=90)
    repeated = data[:-2] + data[data.rindex(b"\xff\xda"):-2] * 100 + END
    assert is_quick(data) and is_quick(repeated)
    with Image.open(io.BytesIO(repeated)) as image, pytest.raises(OSError, match="broken data stream"):
        image.load()
