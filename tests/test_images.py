import io
import zlib

import numpy as np
import pytest
from PIL import Image

from catsdogs import images as module
from catsdogs.errors import BadImage, TooManyPixels
from catsdogs.images import encode, opened, prepare, upright_rgb
from catsdogs.ingest.examine import examine
from tests.hostile import AFTER_IHDR, chunk, hostile, run_lengths, segment
from tests.photos import bad, encoded, jpeg, odd_but_good, picture


@pytest.mark.parametrize("name", odd_but_good())
def test_every_kind_of_photo_is_prepared(name: str) -> None:
    pixels = prepare(odd_but_good()[name], 16)
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 10  # something is in it: neither blank nor clipped


@pytest.mark.parametrize("name", [name for name, (_, reason) in bad().items() if reason != "system-file"])
def test_every_kind_of_bad_file_is_named(name: str) -> None:
    data, reason = bad()[name]
    with pytest.raises(BadImage) as caught:
        prepare(data, 16)
    assert caught.value.reason == reason


@pytest.mark.parametrize("name", hostile())
def test_what_would_take_long_is_refused_before_it_is_decoded(name: str) -> None:
    data, reason = hostile()[name]
    with pytest.raises(BadImage) as caught, opened(data):
        pytest.fail("it would be decoded now")
    assert caught.value.reason == reason and str(caught.value).endswith(".")


@pytest.mark.parametrize("name", [name for name, (_, reason) in hostile().items() if reason != "too-many-parts"])
def test_serving_and_ingest_give_the_reason(name: str) -> None:
    """Whichever way a JPEG goes."""
    data, reason = hostile()[name]
    with pytest.raises(BadImage) as caught:
        prepare(data, 16)
    assert caught.value.reason == examine(data).reason == reason


def test_parts_after_the_pixels_count_as_well() -> None:
    data = encoded(picture(1), "PNG")
    with pytest.raises(BadImage, match="too many parts"):
        prepare(data[:-12] + chunk(b"abCd", b"") * 120_000 + data[-12:], 16)


def test_a_small_photo_of_run_lengths_is_taken() -> None:
    with Image.open(io.BytesIO(run_lengths(100))) as image:
        assert np.array_equal(prepare(run_lengths(100), 100), np.asarray(image.convert("RGB")))


def test_ordinary_photos_of_many_parts_are_taken() -> None:
    """A PNG of 20 MB in pieces of 8 KiB, as libpng makes them; the thousand segments of a long note; a long profile."""
    data = encoded(picture(1), "PNG")
    in_pieces = data[:-12] + chunk(b"IDAT", bytes(8192)) * 2500 + data[-12:]
    assert np.array_equal(prepare(in_pieces, 16), prepare(data, 16))
    noted = jpeg(1)[:2] + segment(0xE1, b"http://ns.adobe.com/xmp/extension/" + bytes(60_000)) * 100 + jpeg(1)[2:]
    assert np.array_equal(prepare(noted, 16), prepare(jpeg(1), 16))
    profile = encoded(picture(1), icc_profile=bytes(3_000_000))
    assert np.array_equal(prepare(profile, 16), prepare(encoded(picture(1)), 16))


def test_ordinary_texts_of_a_png_are_taken() -> None:
    """Hundreds of short ones, a profile, and some of the largest."""
    data = encoded(picture(1), "PNG")
    short = chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a note of a camera" * 20)) * 200
    large = chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(2**20 - 1), 9)) * 8
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(500_000)))
    noted = data[:AFTER_IHDR] + profile + short + large + data[AFTER_IHDR:]
    assert np.array_equal(prepare(noted, 16), prepare(data, 16))


def test_a_turned_photo_whose_exif_cannot_be_written_is_taken() -> None:
    """Pillow writes it anew without the turn, and cannot: a name among the whole numbers."""
    entry = b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\x01\x00\0\x02\0\0\0\x01a\0\0\0"
    exif = b"MM\0*\0\0\0\x08\0\x02" + entry + bytes(4)
    data = encoded(picture(1, (40, 20)), "PNG")
    turned = data[:AFTER_IHDR] + chunk(b"eXIf", exif) + data[AFTER_IHDR:]
    assert np.array_equal(prepare(turned, 20), np.rot90(prepare(data, 20), -1))


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right: the left side comes up
    pixels = prepare(encoded(image, "PNG", exif=exif), 16)
    assert pixels[:6].mean() > 250 and pixels[-6:].mean() < 5


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    grey = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    pixels = prepare(encoded(Image.fromarray(grey), "PNG"), 64)
    assert abs(int(pixels[32, 32, 0]) - 130) < 4
    assert pixels.max() > 250 and pixels.min() < 4


def test_transparency_becomes_white() -> None:
    pixels = prepare(encoded(Image.new("RGBA", (20, 20), (255, 0, 0, 0)), "PNG"), 8)
    assert (pixels == 255).all()


@pytest.mark.parametrize("band", [1, 7, 40, 41, 400, 4001])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16", "PA"])
def test_bands_are_the_whole_photo(mode: str, band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (25, 40, 4), dtype=np.uint8)
    image = Image.fromarray(noise, "RGBA")
    image = Image.fromarray(noise.view(np.uint16)[:, :, 0].copy()) if mode == "I;16" else image.convert(mode)
    whole = np.asarray(upright_rgb(image.copy()))
    monkeypatch.setattr(module, "BAND", band)
    assert np.array_equal(whole, np.asarray(upright_rgb(image.copy())))


@pytest.mark.parametrize("size", [(50, 40), (2000, 1), (8, 250)])
def test_a_band_has_few_pixels_whatever_the_photos_form(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    bands = []

    def noted(band: Image.Image) -> Image.Image:
        bands.append(band.width * band.height)
        return band.convert("RGB")

    monkeypatch.setattr(module, "BAND", 100)
    monkeypatch.setattr(module, "_on_white", noted)
    upright_rgb(Image.new("RGBA", size))
    assert max(bands) <= 100 and sum(bands) == size[0] * size[1]


def test_a_png_of_prepared_pixels_is_prepared_to_the_same_pixels() -> None:
    pixels = prepare(jpeg(1), 24)
    assert np.array_equal(prepare(encode(pixels), 24), pixels)


def test_large_jpegs_are_drafted_never_below_the_size_asked() -> None:
    data = encoded(picture(5, (1600, 1200)), quality=95)
    drafted = prepare(data, 100)
    with opened(data) as image:
        plain = np.asarray(upright_rgb(image).resize((100, 100), Image.Resampling.BILINEAR))
    assert np.abs(drafted.astype(int) - plain.astype(int)).mean() < 2


def test_the_pixel_limit_is_judged_before_decoding() -> None:
    with pytest.raises(TooManyPixels, match="64,000,000 pixels"):
        prepare(bad()["huge.png"][0], 16)
    with pytest.raises(TooManyPixels):
        prepare(jpeg(3, (64, 64)), 16, max_pixels=64 * 64 - 1)


def test_a_photo_without_a_jfif_marker_is_as_good() -> None:
    """A usual clean-up rule throws such photos away: 6 to 7 % of good ones."""
    usual = jpeg(5, (40, 40))
    assert usual[2:4] == b"\xff\xe0" and usual[6:10] == b"JFIF"
    without = usual[:2] + usual[4 + int.from_bytes(usual[4:6]):]
    assert b"JFIF" not in without
    assert np.array_equal(prepare(without, 16), prepare(usual, 16))
    assert examine(without).format == "JPEG"


def test_bad_image_survives_a_process_pool() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(TooManyPixels("too-many-pixels", "too big")))
    assert (error.reason, str(error), type(error)) == ("too-many-pixels", "too big", TooManyPixels)


def test_the_machines_errors_are_not_blamed_on_the_photo() -> None:
    with pytest.raises(PermissionError), opened(jpeg(1)):
        raise PermissionError(13, "Permission denied")
    with pytest.raises(ImportError), opened(jpeg(1)):
        raise ImportError("a library is missing")
    with pytest.raises(BadImage), opened(jpeg(1)):
        raise OSError("broken data stream")
