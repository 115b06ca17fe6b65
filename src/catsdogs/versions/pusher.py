"""From files to rows: what the bucket lacks goes into packs, which are uploaded while reading goes on."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, BinaryIO

from catsdogs.errors import CatsdogsError
from catsdogs.files import sha256
from catsdogs.log import Progress
from catsdogs.stores.store import PIECE, Entry, Store
from catsdogs.versions.disk import LocalFile, Memory
from catsdogs.versions.layout import Layout
from catsdogs.versions.manifest import create
from catsdogs.versions.packs import Pack
from catsdogs.versions.shelf import Shelf
from catsdogs.versions.transfers import Transfers
from catsdogs.versions.tree import Row

SMALL = 8 << 20  # bytes of a file that is read in one piece
CHUNK = 64  # files a task of theirs
READERS = 4  # threads that hash: sha256 lets go of the interpreter

Place = tuple[str, int]  # pack digest, offset


@dataclass
class Uploaded:
    packs: int = 0
    size: int = 0


@dataclass
class _Going:
    """A pack on its way: as its bytes go out so many of its files are done, and none twice when it is sent again."""

    bar: Progress | None
    files: int
    size: int
    done: int = 0

    def sent(self, position: int) -> None:
        done = self.files * position // self.size
        if self.bar and done > self.done:
            self.bar.advance(done - self.done)
            self.done = done


@dataclass
class Packer:
    """Collects contents into packs of `pack_size` bytes and uploads each as soon as it is full.

    `bar` counts a content when it is sent, not when it is read: reading is far ahead.
    """

    store: Store
    layout: Layout
    shelf: Shelf
    pack_size: int
    transfers: Transfers
    bar: Progress | None = None
    packs: list[Pack] = field(default_factory=list)  # all that were begun
    added: int = 0
    uploaded: Uploaded = field(default_factory=Uploaded)
    _counting: Any = field(default_factory=Lock)
    _open: Pack | None = None
    _before: int = 0  # added to earlier packs than the open one
    _places: dict[str, tuple[Pack, int]] = field(default_factory=dict)

    def holds(self, digest: str) -> bool:
        return digest in self._places

    def add(self, digest: str, length: int, pieces: Iterator[bytes]) -> None:
        if self._open is None:
            self._open = Pack()
            self.packs.append(self._open)
        pack = self._open
        self._places[digest] = (pack, pack.add(digest, length, pieces))
        self.added += 1
        if pack.size >= self.pack_size:
            self.close()

    def close(self) -> None:
        if self._open:
            pack, self._open = self._open, None
            files, self._before = self.added - self._before, self.added
            self.transfers.start(self._upload, pack, files)

    def _upload(self, pack: Pack, files: int) -> None:
        try:
            content = pack.finish(lambda digest: self.layout.pack(digest) in self.shelf.condemned)
            going = _Going(self.bar, files, content.size)
            there = self.shelf.packs.get(pack.digest)
            if there is None or there.size != content.size:
                create(self.store, self.layout.pack(pack.digest), replace(content, sent=going.sent))
                self.shelf.packs[pack.digest] = Entry(self.layout.pack(pack.digest), content.size, time.time())
                with self._counting:
                    self.uploaded.packs += 1
                    self.uploaded.size += content.size
            going.sent(content.size)
        finally:
            pack.close()

    def place(self, digest: str) -> Place:
        """Where a content is; call it once the transfers are done."""
        pack, offset = self._places[digest]
        return pack.digest, offset


@contextmanager
def packing(
    store: Store, layout: Layout, shelf: Shelf, pack_size: int, transfers: int, bar: Progress | None = None
) -> Iterator[Packer]:
    """A packer, all of whose packs are sent at the end; where something fails, what waits is dropped."""
    packs: list[Pack] = []
    try:
        with Transfers(transfers) as pool:
            packer = Packer(store, layout, shelf, pack_size, pool, bar, packs)
            yield packer
            packer.close()
    finally:
        for pack in packs:  # those that were sent are closed already
            pack.close()


def digests(files: list[LocalFile], memory: Memory) -> dict[str, str]:
    """The digest of each path; files that are not remembered are read, by several threads."""
    found = {file.path: memory.digest(file) for file in files}
    unknown = [file for file in files if found[file.path] is None]

    def several(chunk: Sequence[LocalFile]) -> list[tuple[str, str]]:
        return [(file.path, _read_digest(file, memory)) for file in chunk]

    with ThreadPoolExecutor(READERS) as pool:
        for pairs in pool.map(several, (unknown[start:start + CHUNK] for start in range(0, len(unknown), CHUNK))):
            found.update(pairs)
    return {path: digest for path, digest in found.items() if digest is not None}


def _read_digest(file: LocalFile, memory: Memory) -> str:
    try:
        with open(file.local, "rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        raise _vanished(file) from None
    memory.learn(file, found)
    return found


def pack_new(files: list[LocalFile], known: dict[str, str], stored: dict[str, Place], packer: Packer,
             memory: Memory, bar: Progress) -> list[tuple[str, str, int]]:
    """Read what is not `stored` and add it to packs. `known` digests (by path) spare reading what is.

    Returns (path, digest, length) of what was really there, in order.
    """
    found = []
    for file in files:
        before = packer.added
        digest, length = known.get(file.path, ""), file.size
        if not digest or not (digest in stored or packer.holds(digest)):
            digest, length = _take(file, stored, packer)
            memory.learn(file, digest)
        found.append((file.path, digest, length))
        if packer.added == before:
            bar.advance()
    return found


def _take(file: LocalFile, stored: dict[str, Place], packer: Packer) -> tuple[str, int]:
    try:
        with open(file.local, "rb") as opened:
            if file.size <= SMALL:
                data = opened.read()
                digest, length = sha256(data), len(data)
                if not (digest in stored or packer.holds(digest)):
                    packer.add(digest, length, iter([data]))
                return digest, length
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
            length = opened.tell()
            if not (digest in stored or packer.holds(digest)):
                opened.seek(0)
                again = hashlib.sha256()
                packer.add(digest, length, _pieces(opened, again))
                if again.hexdigest() != digest:
                    raise _vanished(file)
            return digest, length
    except (FileNotFoundError, ValueError):
        raise _vanished(file) from None


def _pieces(opened: BinaryIO, again: Any) -> Iterator[bytes]:
    while piece := opened.read(PIECE):
        again.update(piece)
        yield piece


def _vanished(file: LocalFile) -> CatsdogsError:
    return CatsdogsError(f"{file.local} changed while it was being pushed: run the same command again when nothing "
                         "writes to the folder.")


def rows_for(found: list[tuple[str, str, int]], stored: dict[str, Place], packer: Packer) -> list[Row]:
    return [Row(path, digest, *(stored.get(digest) or packer.place(digest)), length) for path, digest, length in found]
