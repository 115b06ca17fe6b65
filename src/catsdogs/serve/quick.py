"""Which photos are decoded in a few milliseconds, told from their first bytes without decoding anything.

Said of a photo that takes longer, it would stop the event loop; so everything that costs time is bounded here, and
whatever is unusual is no quick photo: a 27 kB JPEG can repeat its last scan 2,000 times and take 0.6 s.
"""

from catsdogs.jpeg import header
from catsdogs.scans import ORDINARY

MOST_BYTES = 300_000
MOST_PIXELS = 500_000  # 1 to 3 ms


def is_quick(data: bytes) -> bool:
    """Whether this is a small JPEG of the ordinary kind."""
    found = header(data) if len(data) <= MOST_BYTES else None
    if found is None or not 0 < found.width * found.height <= MOST_PIXELS:
        return False
    return found.in_one_scan or data.count(b"\xff\xda") <= ORDINARY  # looking for more takes 0.04 ms
