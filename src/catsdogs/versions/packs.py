"""Packs: tar files that are only ever appended to while they are written, and named by their digest afterwards."""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from typing import IO, BinaryIO

from catsdogs.stores.store import PIECE, Content

BLOCK = 512  # of a tar; tarfile and tempfile are imported where they are used: an unchanged push does not
END = b"\0" * (2 * BLOCK)


class Pack:
    """One tar, written to a file without a name: a killed push leaves nothing on the disk."""

    def __init__(self) -> None:
        import tempfile

        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="catsdogs-")
        self._hash = hashlib.sha256()
        self.size = 0
        self.digest = ""  # known once closed
        self.content: Content | None = None

    def add(self, name: str, length: int, pieces: Iterator[bytes]) -> int:
        """Append a member of exactly `length` bytes; returns where its bytes start."""
        self._write(_header(name, length))
        offset = self.size
        for piece in pieces:
            self._write(piece)
        if self.size - offset != length:
            raise ValueError(f"{name}: {self.size - offset} bytes, {length} were announced")
        self._write(bytes(-length % BLOCK))
        return offset

    def finish(self, refused: Callable[[str], bool]) -> Content:
        """Close the tar. A name that is `refused` (condemned by prune) is avoided by one more, random member."""
        while True:
            closed = self._hash.copy()
            closed.update(END)
            if not refused(closed.hexdigest()):
                break
            salt = secrets.token_bytes(16)
            self.add("again", len(salt), iter([salt]))
        self._write(END)
        self._file.flush()
        self.digest = closed.hexdigest()
        self.content = Content(self.size, self.digest, self._reopen)
        return self.content

    def _reopen(self) -> BinaryIO:
        """A reader with a position of its own; it does not close the file, which must outlive it."""
        return _Reader(self._file.fileno(), self.size)  # type: ignore[return-value]

    def close(self) -> None:
        self._file.close()

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)


class _Reader:
    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor, self._size, self._at = descriptor, size, 0

    def read(self, size: int = -1) -> bytes:
        data = os.pread(self._descriptor, PIECE if size < 0 else size, self._at)
        self._at += len(data)
        return data

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """The pack closes its file itself."""


def member_size(length: int) -> int:
    """Bytes that a content of `length` takes in a tar."""
    return BLOCK + length + -length % BLOCK


def _header(name: str, length: int) -> bytes:
    """A ustar header without owner or time, so that the same content makes the same pack everywhere.

    Hand-made: TarInfo.tobuf takes 30 us, a tenth of what a small photo costs in all. Lengths past 8 GiB are GNU's.
    """
    if length >= 8**11:
        import tarfile

        info = tarfile.TarInfo(name)
        info.size = length
        return info.tobuf(tarfile.GNU_FORMAT)
    head = b"%b0000644\x000000000\x000000000\x00%011o\x0000000000000\x00        0" % (
        name.encode().ljust(100, b"\0"), length)
    head = head.ljust(257, b"\0") + b"ustar\x0000"
    head = head.ljust(BLOCK, b"\0")
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]
