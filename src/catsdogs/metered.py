"""A photo's bytes as a file that adds up what its reader does with them.

Pillow reads the parts of a file in Python, and sets no limit to their number: of 20 MB, bytes of padding in a JPEG took
15 s, empty chunks of a PNG 13 s, blocks of EXIF that are joined one by one 40 s, colour profiles of 1 kB that unpack to
1 MB each 52 s. Each costs at least a read. Texts of a PNG are kept as well, with four bytes a character where one of
them is an emoji: 63 chunks of 1 kB took 203 MB.
"""

import io

from catsdogs.errors import BadImage

MOST_SECONDS = 1.0  # ordinary photos spend less than a hundredth of it
READ = 5e-6  # seconds, with what is done about it: 1e-5 for a chunk, of two reads and more
BYTE = 1e-7  # of a segment of a JPEG: tables and Photoshop's notes are taken apart one by one
LARGEST_SEGMENT = 2**16  # what is read in larger pieces is not looked at
PACKED = (b"iCCP", b"zTXt", b"iTXt")  # chunks that are unpacked, to 1 MB each
LARGEST_UNPACKED = 2**20
RATIO = 1032  # zlib's, at most
UNPACKED = 1 / 16 / LARGEST_UNPACKED  # a byte: 3e-9 to unpack it, the rest for the up to 4 bytes that are kept
JOINED = 3e-3
EXIF = b"Exif\0\0"  # each of these is copied together with those before it


class Metered(io.BytesIO):
    """Reading raises BadImage `too-many-parts` once it has cost about a second."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.spent, self.per_byte = 0.0, BYTE

    def decode(self) -> None:
        """From now on bytes are handed to a decoder."""
        self.per_byte = 0.0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.spent += READ
        if len(data) <= LARGEST_SEGMENT:
            self.spent += len(data) * self.per_byte
        if data[4:] in PACKED:
            length = int.from_bytes(data[:4])
            self.spent += UNPACKED * max(length, min(RATIO * length, LARGEST_UNPACKED))
        elif data.startswith(EXIF):
            self.spent += JOINED
        if self.spent > MOST_SECONDS:
            raise BadImage("too-many-parts", "The photo's file is of too many parts: save the photo anew.")
        return data
