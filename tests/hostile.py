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
    data = encoded(Image.new("RGB", (64, 64)), progressive=progressive)
    begin = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    return data[:begin + 1] + bytes([frame]) + data[begin + 2:begin + 5] + b"\x1f\x40" * 2 + data[begin + 9:]


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def hostile() -> dict[str, tuple[bytes, str]]:
    """A second or more each, or far more where they are as large as an upload may be."""
    jpeg, png, packed = encoded(picture(1)), encoded(picture(1), "PNG"), zlib.compress(bytes(2**20 - 1), 9)
    emoji = zlib.compress(bytes(2**20 - 5) + "\U0001f431".encode(), 9)
    gif = encoded(picture(1).quantize(16), "GIF")
    palette = 13 + (6 << (gif[10] & 7))

    def jpeg_with(more: bytes) -> bytes:
        return jpeg[:2] + more + jpeg[2:]

    def png_with(more: bytes) -> bytes:
        return png[:AFTER_IHDR] + more + png[AFTER_IHDR:]

    return {
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
