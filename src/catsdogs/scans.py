"""How many scans a JPEG has, and in which code. Each is decoded over all of its blocks, a progressive file may repeat
its last one for 23 bytes, and the decoder has no limit: 20 MB of them took hours."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from catsdogs.errors import BadImage

ORDINARY = 16  # whatever the size: a progressive photo has about ten
MOST = 500  # however small the photo; libjpeg-turbo's own tools stop there
MOST_PIXELS = 800_000_000
"""Of all scans together: 1 s. One in which nothing changes takes 1.2 ms a megapixel; any other is paid for in bytes."""
MOST_PARTS = 20_000
AT_ONCE = 2**20  # bytes to look through while other threads wait, 1 to 11 ms
SCAN, END = 0xDA, 0xD9
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
ARITHMETIC = 0xC8  # frames from here on are in arithmetic code
PART = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # within a scan 0xFF is followed by zero, or restarts it (D0 to D7)


class First(NamedTuple):
    frame: int  # its marker; 0: there is none
    in_scan: int  # components in the first scan


def first(data: bytes) -> First:
    """The frame and the first scan of a JPEG, as the decoder finds them."""
    frame = 0
    for kind, place in _parts(data):
        if kind == SCAN:
            return First(frame, data[place + 2] if place + 2 < len(data) else 0)
        if kind in FRAMES and not frame:
            frame = kind
    return First(frame, 0)


def check_scans(data: bytes, size: tuple[int, int]) -> None:
    """Raises BadImage `slow-format` and `too-many-scans`, before anything is decoded."""
    if first(data).frame > ARITHMETIC:
        # Past its data the decoder goes on with zeros, bit by bit: 0.5 megapixels took 0.2 s, 20 times as long.
        raise BadImage("slow-format", "A JPEG in arithmetic code takes too long to decode: save the photo anew.")
    most = min(MOST, max(ORDINARY, MOST_PIXELS // (size[0] * size[1])))
    # Counts those of a thumbnail and of whatever follows the photo as well, so it is an upper bound: 0.02 ms for 45 kB,
    # 20 ms for 20 MB.
    found = sum(data.count(b"\xff\xda", start, start + AT_ONCE + 1) for start in range(0, len(data), AT_ONCE))
    if found > most and _more_than(most, data):
        raise BadImage("too-many-scans", f"The JPEG has more than {most} scans.")


def _more_than(most: int, data: bytes) -> bool:
    scans = 0
    for parts, (kind, _) in enumerate(_parts(data), 1):
        scans += kind == SCAN
        if scans > most or parts > MOST_PARTS:
            return True
    return False


def _parts(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers and the places after them, part by part, as the decoder goes: what a segment holds is skipped, and the
    photo ends where its end is."""
    place = 2
    while place < len(data):
        found = PART.search(data, place, place + AT_ONCE)
        if found is None:
            place += AT_ONCE - 1
            continue
        kind, place = data[found.start() + 1], found.end()
        if kind == END:
            return
        yield kind, place
        if kind != 1:  # which has no length
            place += max(2, int.from_bytes(data[place:place + 2]))
