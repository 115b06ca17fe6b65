"""How many scans a JPEG has. Each is decoded over all of its blocks, a progressive file may repeat its last one for 23
bytes, and the decoder has no limit: 20 MB of them took hours."""

import re

from catsdogs.errors import BadImage

ORDINARY = 16  # whatever the size: a progressive photo has about ten
MOST = 500  # however small the photo; libjpeg-turbo's own tools stop there
MOST_PIXELS = 800_000_000
"""Of all scans together: 1 s. One in which nothing changes takes 1.2 ms a megapixel; any other is paid for in bytes."""
MOST_PARTS = 20_000
AT_ONCE = 2**20  # bytes to look through while other threads wait, 1 to 11 ms
SCAN, END = 0xDA, 0xD9
PART = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # within a scan 0xFF is followed by zero, or restarts it (D0 to D7)


def check_scans(data: bytes, size: tuple[int, int]) -> None:
    """Raises BadImage `too-many-scans`, before anything is decoded."""
    most = min(MOST, max(ORDINARY, MOST_PIXELS // (size[0] * size[1])))
    # Counts those of a thumbnail and of whatever follows the photo as well, so it is an upper bound: 0.02 ms for 45 kB,
    # 20 ms for 20 MB.
    found = sum(data.count(b"\xff\xda", start, start + AT_ONCE + 1) for start in range(0, len(data), AT_ONCE))
    if found > most and _more_than(most, data):
        raise BadImage("too-many-scans", f"The JPEG has more than {most} scans.")


def _more_than(most: int, data: bytes) -> bool:
    """Part by part, as the decoder goes: what a segment holds is skipped, and the photo ends where its end is."""
    place, scans, parts = 2, 0, 0
    while place < len(data):
        found = PART.search(data, place, place + AT_ONCE)
        if found is None:
            place += AT_ONCE - 1
            continue
        kind, place = data[found.start() + 1], found.end()
        parts += 1
        if kind == END:
            return False
        scans += kind == SCAN
        if scans > most or parts > MOST_PARTS:
            return True
        if kind != 1:  # which has no length
            place += max(2, int.from_bytes(data[place:place + 2]))
    return False
