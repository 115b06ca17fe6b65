"""Small files that cost decoders far more than their bytes and pixels say, with the reason that each must be given."""

import struct
import zlib
from functools import cache

from PIL import Image

from tests.photos import encoded, picture

START_OF_SCAN, END = b"\xff\xda", b"\xff\xd9"
AFTER_IHDR = 33


def run_lengths(side: int = 1000) -> bytes:
    """A BMP of 8 bits a pixel whose rows are one pixel and an end of line each."""
    rows, palette = b"\x01\x01\0\0" * side, b"".join(bytes([level, 255 - level, 0, 0]) for level in range(256))
    begin = 54 + len(palette)
    return (b"BM" + struct.pack("<IHHI", begin + len(rows), 0, 0, begin)
            + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(rows), 0, 0, 256, 0) + palette + rows)


def repeating_its_last_scan(times: int, size: tuple[int, int] = (64, 64), before: bytes = b"") -> bytes:
    """`before`: segments before each."""
    data = encoded(Image.new("L", size, 128), progressive=True)
    last = data.rindex(START_OF_SCAN)
    return data[:-2] + (before + data[last:-2]) * times + END


def with_scans_of_one_component(times: int) -> bytes:
    """A baseline JPEG whose only scan says that it holds the first component, and is there so many times."""
    data = encoded(picture(1, (64, 64)), quality=90)
    scan = data.rindex(START_OF_SCAN)
    (length,) = struct.unpack(">H", data[scan + 2:scan + 4])
    header = START_OF_SCAN + struct.pack(">HB", length - 4, 1) + data[scan + 5:scan + 7] + data[scan + 11:scan + 14]
    return data[:scan] + (header + b"\0" * 100) * times + END


def in_arithmetic_code(frame: int, progressive: bool = False) -> bytes:
    """A JPEG whose header says so; its data end after some pixels."""
    return of_64_megapixels(encoded(Image.new("RGB", (64, 64)), progressive=progressive), frame)


def of_64_megapixels(data: bytes, frame: int = 0) -> bytes:
    """A JPEG with another size in its header, and another marker of its frame."""
    begin = data.index(b"\xff\xc2" if b"\xff\xc2" in data else b"\xff\xc0")
    marker = bytes([frame or data[begin + 1]])
    return data[:begin + 1] + marker + data[begin + 2:begin + 5] + b"\x1f\x40" * 2 + data[begin + 9:]


def with_coefficients() -> bytes:
    """Four components of which the first scan brings not all."""
    data = encoded(Image.new("CMYK", (64, 64)), progressive=True)
    second = data.index(START_OF_SCAN, data.index(START_OF_SCAN) + 2)
    return of_64_megapixels(data[:second] + END)


def canvases() -> bytes:
    """A WebP of one colour, which takes no bits a pixel: of 38 bytes, whatever its size."""
    data = encoded(Image.new("RGB", (8, 8), "red"), "WEBP", lossless=True)
    begin = data.index(b"\x2f") + 1
    return data[:begin] + struct.pack("<I", 16_000 - 1 | 3_999 << 14) + data[begin + 4:]


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def hostile() -> dict[str, tuple[bytes, str]]:
    """A second or more each, or more than 400 MB, or far more where they are as large as an upload may be."""
    jpeg, png, packed = encoded(picture(1)), encoded(picture(1), "PNG"), zlib.compress(bytes(2**20 - 1), 9)
    emoji = zlib.compress(bytes(2**20 - 5) + "\U0001f431".encode(), 9)
    rgba = encoded(Image.new("RGBA", (8, 8)), "PNG")
    wide = struct.pack(">II", 250_000, 256) + rgba[24:29]
    gif = encoded(picture(1).quantize(16), "GIF")
    palette = 13 + (6 << (gif[10] & 7))

    def jpeg_with(more: bytes) -> bytes:
        return jpeg[:2] + more + jpeg[2:]

    def png_with(more: bytes) -> bytes:
        return png[:AFTER_IHDR] + more + png[AFTER_IHDR:]

    return {
        "canvases.webp": (canvases(), "too-many-pixels"),
        "coefficients.jpg": (with_coefficients(), "too-many-pixels"),
        "transparent.png": (rgba[:8] + chunk(b"IHDR", wide) + rgba[AFTER_IHDR:], "too-many-pixels"),
        "run-lengths.bmp": (run_lengths(), "slow-format"),
        "arithmetic.jpg": (in_arithmetic_code(0xC9), "slow-format"),
        "arithmetic-progressive.jpg": (in_arithmetic_code(0xCA, progressive=True), "slow-format"),
        "scans.jpg": (repeating_its_last_scan(600), "too-many-scans"),
        "scans-of-many-pixels.jpg": (repeating_its_last_scan(80, (3200, 3200)), "too-many-scans"),
        "scans-of-one-component.jpg": (with_scans_of_one_component(600), "too-many-scans"),
        "end-in-a-comment.jpg": (repeating_its_last_scan(600, before=segment(0xFE, END)), "too-many-scans"),
        "comments-between-scans.jpg": (
            repeating_its_last_scan(501, before=segment(0xFE, b"") * 100), "too-many-scans"),
        "padding.jpg": (jpeg_with(b"\xff" * 300_000), "too-many-parts"),
        "segments.jpg": (jpeg_with(segment(0xE5, b"") * 70_000), "too-many-parts"),
        "exif.jpg": (jpeg_with(segment(0xE1, b"Exif\0\0" + bytes(8)) * 400), "too-many-parts"),
        "tables.jpg": (jpeg_with(segment(0xDB, (b"\0" + b"\1" * 64) * 1000) * 160), "too-many-parts"),
        "profiles.png": (png_with(chunk(b"iCCP", b"p\0\0" + packed) * 400), "too-many-parts"),
        "texts.png": (png_with(chunk(b"zTXt", b"k\0\0" + packed) * 17), "too-many-parts"),
        "emoji.png": (png_with(chunk(b"iTXt", b"k\0\1\0\0\0" + emoji) * 17), "too-many-parts"),
        "text.png": (png_with(chunk(b"iTXt", b"k\0\0\0\0\0" + bytes(17 * 2**20))), "too-many-parts"),
        "chunks.png": (png_with(chunk(b"abCd", b"") * 120_000), "too-many-parts"),
        "comment.gif": (gif[:palette] + b"!\xfe" + b"\x01c" * 120_000 + b"\0" + gif[palette:], "too-many-parts"),
    }
