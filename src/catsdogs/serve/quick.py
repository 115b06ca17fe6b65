"""Which photos are decoded in a few milliseconds, told from their first bytes without decoding anything.

Said of a photo that takes longer, it would stop the event loop; so everything that costs time is bounded here, and
whatever is unusual is no quick photo: a 27 kB JPEG can repeat its last scan 2,000 times and take 0.6 s.
"""

MOST_BYTES = 300_000
MOST_PIXELS = 500_000  # 1 to 3 ms
MOST_SCANS = 16  # a progressive JPEG has about ten
MOST_SEGMENTS = 32  # before the first scan
LATEST_SCAN = 32_000  # bytes before it: 64 kB of EXIF take 11 ms
FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive; with Huffman's code
SCAN = 0xDA


def is_quick(data: bytes) -> bool:
    """Whether this is a small JPEG of the ordinary kind."""
    if len(data) > MOST_BYTES or not data.startswith(b"\xff\xd8") or data.count(b"\xff\xda") > MOST_SCANS:
        return False
    place, pixels = 2, 0
    for _ in range(MOST_SEGMENTS):
        if place + 9 > len(data) or place > LATEST_SCAN or data[place] != 0xFF:
            return False
        marker, length = data[place + 1], int.from_bytes(data[place + 2:place + 4])
        if marker == SCAN:
            return 0 < pixels <= MOST_PIXELS
        if marker in FRAMES and not pixels:
            pixels = int.from_bytes(data[place + 5:place + 7]) * int.from_bytes(data[place + 7:place + 9])
        elif not (marker in (0xC4, 0xDB, 0xDD, 0xFE) or 0xE0 <= marker <= 0xEF) or length < 2:
            return False  # a second frame, or none of: tables, restarts, a comment, what applications note
        place += 2 + length
    return False
