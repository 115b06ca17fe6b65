"""Which photos are decoded in a few milliseconds, told from their first bytes without decoding anything.

Said of a photo that takes longer, it would stop the event loop; so everything that costs time is bounded here, and
whatever is unusual is no quick photo: a 27 kB JPEG can repeat its last scan 2,000 times and take 0.6 s.
"""

from catsdogs.jpeg import Header, header
from catsdogs.scans import ORDINARY

MOST_BYTES = 300_000
MOST_PIXELS = 500_000  # 1 to 3 ms, 6 of as many bytes as may be

# Of several scans: 3 to 5 ms, 7 of sixteen. One of 280 kB and 500,000 pixels took 17 ms.
MOST_BYTES_IN_SCANS = 60_000
MOST_PIXELS_IN_SCANS = 250_000

LATEST_SCAN = 8_000
"""Bytes before it that Pillow takes apart in Python: 1 ms of tables, 4 of EXIF's tags; 31 kB of them take 14."""


def is_quick(data: bytes) -> bool:
    """Whether this is a small JPEG of the ordinary kind."""
    found = header(data) if len(data) <= MOST_BYTES else None
    if found is None or not 0 < found.width * found.height <= MOST_PIXELS:
        return False
    if not found.plain and found.scan > LATEST_SCAN:
        return False
    return found.in_one_scan or _has_quick_scans(found, data)


def _has_quick_scans(found: Header, data: bytes) -> bool:
    return len(data) <= MOST_BYTES_IN_SCANS and found.width * found.height <= MOST_PIXELS_IN_SCANS and (
        data.count(b"\xff\xda") <= ORDINARY)
