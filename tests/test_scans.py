"""JPEGs of more scans than a second is enough for, and those of as many that hold something else."""

import numpy as np
import pytest

from catsdogs import scans
from catsdogs.errors import BadImage
from catsdogs.images import prepare
from catsdogs.scans import check_scans, first
from tests.hostile import END, in_arithmetic_code, repeating_its_last_scan, segment
from tests.photos import encoded, picture

PROGRESSIVE = encoded(picture(3, (300, 200)), progressive=True)
SOME = b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 600  # as in a thumbnail, or by chance in a film that follows the photo


@pytest.mark.parametrize("data", [
    PROGRESSIVE + SOME,
    PROGRESSIVE[:2] + segment(0xE1, b"thumbnail" + SOME) + PROGRESSIVE[2:],
    PROGRESSIVE[:-2] + segment(0xFE, SOME) + END,
    PROGRESSIVE + PROGRESSIVE * 60,
], ids=["after it", "before it", "within it", "many in one"])
def test_only_scans_of_the_photo_itself_count(data: bytes) -> None:
    assert data.count(b"\xff\xda") > scans.MOST
    assert np.array_equal(prepare(data, 64), prepare(PROGRESSIVE, 64))


def test_more_pixels_may_have_fewer_scans() -> None:
    for scans_more, side, refused in (
        (400, 1000, False), (500, 1000, True), (60, 3200, False), (80, 3200, True), (9, 8000, False), (16, 8000, True)
    ):
        data = repeating_its_last_scan(scans_more)
        if not refused:
            check_scans(data, (side, side))
            continue
        with pytest.raises(BadImage) as caught:
            check_scans(data, (side, side))
        assert caught.value.reason == "too-many-scans" and "scans." in str(caught.value)


def test_wherever_a_scan_begins_it_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also at the end of what is looked through at once."""
    data = repeating_its_last_scan(600)
    for at_once in range(2, 40):
        monkeypatch.setattr(scans, "AT_ONCE", at_once)
        with pytest.raises(BadImage):
            check_scans(data, (64, 64))
        check_scans(PROGRESSIVE + SOME, (300, 200))


def test_segments_without_end_between_scans_are_not_followed() -> None:
    data = repeating_its_last_scan(501, before=segment(0xFE, b"") * 100)
    with pytest.raises(BadImage):
        check_scans(data, (64, 64))


@pytest.mark.parametrize("frame", [0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF])
def test_arithmetic_code_is_refused_wherever_its_frame_is(frame: int) -> None:
    data = in_arithmetic_code(frame)
    noted = data[:2] + segment(0xE1, b"\xff\xc0" + SOME) * 40 + b"junk\xff\x01\xff\xd0" + data[2:]
    for photo in (data, noted):
        with pytest.raises(BadImage, match="arithmetic") as caught:
            check_scans(photo, (64, 64))
        assert caught.value.reason == "slow-format"


def test_the_first_frame_and_scan_are_told() -> None:
    assert first(PROGRESSIVE) == (0xC2, 3) and first(encoded(picture(1))) == (0xC0, 3)
    assert first(encoded(picture(1).convert("L"))) == (0xC0, 1)
    assert first(PROGRESSIVE[:PROGRESSIVE.index(b"\xff\xda") + 4]) == (0xC2, 0)
    for nothing in (b"", b"\xff\xd8", b"\xff\xd8\xff\xd9" + PROGRESSIVE, bytes(99)):
        assert first(nothing) == (0, 0)
