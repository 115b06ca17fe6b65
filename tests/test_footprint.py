"""What decoding takes is judged from the header, and is what it takes."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs import footprint as module
from catsdogs.errors import TooManyPixels
from catsdogs.footprint import footprint
from catsdogs.images import opened, prepare
from tests.photos import encoded, picture

SIDE = 1200
EXIF = Image.Exif()
EXIF[0x0112] = 6


def photo(mode: str, file_format: str, size: tuple[int, int] = (SIDE, SIDE), **options: object) -> bytes:
    return encoded(Image.new(mode, size), file_format, **options)


def animated(file_format: str, mode: str) -> bytes:
    frames = [Image.new(mode, (SIDE, SIDE), colour) for colour in (1, 2)]
    return encoded(frames[0], file_format, save_all=True, append_images=frames[1:], disposal=1, duration=100)


PHOTOS = {  # with bytes a pixel
    "bilevel.png": (photo("1", "PNG"), 5),
    "grey.png": (photo("L", "PNG"), 5),
    "palette.png": (photo("P", "PNG"), 5),
    "sixteen.png": (encoded(Image.fromarray(np.zeros((SIDE, SIDE), np.uint16)), "PNG"), 6),
    "rgb.png": (photo("RGB", "PNG"), 8),
    "turned.png": (photo("RGB", "PNG", exif=EXIF), 8),
    "rgba.png": (photo("RGBA", "PNG"), 8),
    "animated.png": (animated("PNG", "RGBA"), 9),
    "grey.gif": (photo("P", "GIF"), 7),
    "animated.gif": (animated("GIF", "P"), 7),
    "rgb.bmp": (photo("RGB", "BMP"), 8),
    "rgb.webp": (photo("RGB", "WEBP"), 16),
    "rgba.webp": (photo("RGBA", "WEBP"), 16),
    "baseline.jpg": (photo("RGB", "JPEG", subsampling=0), 8 / 64),
    "progressive.jpg": (photo("RGB", "JPEG", subsampling=0, progressive=True), 6 + 4 / 64),
    "progressive-420.jpg": (photo("RGB", "JPEG", subsampling=2, progressive=True), 3 + 4 / 64),
    "progressive-grey.jpg": (photo("L", "JPEG", progressive=True), 2 + 1 / 64),
    "progressive-cmyk.jpg": (photo("CMYK", "JPEG", progressive=True), 8 + 4 / 64),
}


def taken(data: bytes, side: int) -> int:
    with opened(data) as image:
        return footprint(image, data, side)


@pytest.mark.parametrize("name", PHOTOS)
def test_each_kind_takes_so_many_bytes_a_pixel(name: str) -> None:
    data, a_pixel = PHOTOS[name]
    assert taken(data, 128) / SIDE**2 == pytest.approx(a_pixel, rel=0.02, abs=0.03)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize("name", ["turned.png", "rgba.png", "animated.gif", "rgba.webp", "progressive.jpg"])
def test_a_process_takes_no_more(name: str, tmp_path: Path) -> None:
    """But for what it takes with any photo: bands of pixels, buffers, the first use of decoders."""
    (tmp_path / "photo").write_bytes(PHOTOS[name][0])
    code = ("import re, sys, numpy as np; from pathlib import Path; from catsdogs.images import encode, prepare\n"
            "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
            "prepare(encode(np.zeros((64, 64, 3), np.uint8)), 16); before = peak()\n"
            "prepare(Path(sys.argv[1]).read_bytes(), 128); print((peak() - before) * 1024)")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "photo")], capture_output=True, check=True)
    assert int(done.stdout) <= taken(PHOTOS[name][0], 128) + 14_000_000


def test_more_scans_than_one_keep_all_coefficients_of_a_baseline_jpeg_too() -> None:
    data = PHOTOS["baseline.jpg"][0]
    scan = data.rindex(b"\xff\xda")
    first_only = data[:scan] + b"\xff\xda\0\x08\1" + data[scan + 5:scan + 7] + data[scan + 11:]
    assert taken(first_only, 128) / SIDE**2 == pytest.approx(6, rel=0.02)


def test_blocks_are_padded_to_the_sampling_factors() -> None:
    data = photo("RGB", "JPEG", (65, 9), subsampling=2, progressive=True)
    assert taken(data, 8) == 128 * (10 * 2 + 2 * 5 * 1) + 4 * 65 * 9


def test_a_long_jpeg_is_decoded_at_its_full_size() -> None:
    data = photo("RGB", "JPEG", (8000, 500), subsampling=0, progressive=True)
    assert taken(data, 512) / (8000 * 500) == pytest.approx(10, rel=0.02)
    assert taken(data, 60) / (8000 * 500) == pytest.approx(6, rel=0.02)


@pytest.mark.parametrize(("name", "passes"), [("rgba.webp", 16), ("rgba.png", 8), ("progressive.jpg", 6 + 4 / 64)])
def test_the_limit_grows_with_that_of_pixels(name: str, passes: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALWAYS", 0)
    data = PHOTOS[name][0]
    enough = int(1.02 * SIDE**2 * max(1, passes / module.BYTES_A_PIXEL))
    assert prepare(data, 128, enough).shape == (128, 128, 3)
    if passes > module.BYTES_A_PIXEL:
        with pytest.raises(TooManyPixels, match=r"1200 x 1200 pixels .* take \d+ MB .* than \d+ MB.*\.") as caught:
            prepare(data, 128, int(0.98 * enough / 1.02))
        assert caught.value.reason == "too-many-pixels"


def test_small_photos_of_any_kind_are_taken_whatever_the_limit() -> None:
    data = encoded(picture(3, (64, 64)), "WEBP", lossless=True)
    assert np.array_equal(prepare(data, 16, max_pixels=64 * 64), prepare(encoded(picture(3, (64, 64)), "PNG"), 16))


@pytest.mark.parametrize(("mode", "file_format", "size", "options"), [
    ("RGB", "PNG", (6000, 4000), {}),
    ("RGB", "JPEG", (8660, 5770), {"subsampling": 0, "progressive": True}),
    ("RGB", "JPEG", (9230, 6920), {"subsampling": 0}),
])
def test_photos_of_ordinary_cameras_are_within_it(
    mode: str, file_format: str, size: tuple[int, int], options: dict[str, object]
) -> None:
    """By their headers: decoding them would take seconds."""
    data = photo(mode, file_format, (64, 64), **options)
    with Image.open(io.BytesIO(data)) as image:
        image._size = size
        module.check_footprint(image, data, 512, 64_000_000)  # type: ignore[arg-type]
