"""What an object store is to us: nine verbs, and the words for what can go wrong."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from catsdogs.errors import CatsdogsError

PIECE = 1 << 20  # bytes read from a file at a time


class Missing(CatsdogsError):
    """There is no such object. `key` names it."""

    def __init__(self, key: str, url: str = "") -> None:
        super().__init__(f"{url}/{key} does not exist.")
        self.key = key


class Exists(CatsdogsError):
    """The object is there already, and was to be created."""


class Changed(CatsdogsError):
    """The object is no longer of the generation that was to be replaced."""


@dataclass(frozen=True)
class Entry:
    """One line of a listing."""

    key: str
    size: int  # bytes
    modified: float  # seconds since 1970, by the store's clock


@dataclass(frozen=True)
class Content:
    """Bytes to store, of known length and sha256 (hex); `open` starts a fresh reader, for every attempt one.

    `sent` is told how many of them have gone out, by every attempt from the start.
    """

    size: int
    sha256: str
    open: Callable[[], BinaryIO]
    sent: Callable[[int], object] = field(default=lambda _: None, compare=False)

    @classmethod
    def of(cls, data: bytes) -> "Content":
        return cls(len(data), hashlib.sha256(data).hexdigest(), lambda: io.BytesIO(data))

    @classmethod
    def file(cls, path: Path | str) -> "Content":
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return cls(file.tell(), digest, lambda: open(path, "rb"))


class Store(Protocol):
    """Keys are paths with `/`, relative to `url`. Safe to use from many threads at once.

    Every verb raises CatsdogsError once its own retries are used up, and Missing, Exists or Changed as said below.
    """

    url: str

    @property
    def requests(self) -> int:
        """Sent so far, retries included."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """The object's bytes, or the part of them; shorter where the object ends. Raises Missing."""

    def write(self, key: str, content: Content, *, absent: bool = False) -> None:
        """Store all of it or nothing, checked by the far end; `absent` raises Exists rather than replace."""

    def current(self, key: str) -> tuple[bytes, str]:
        """A small object's bytes and the mark of their generation, which every write changes. Raises Missing."""

    def replace(self, key: str, content: Content, generation: str) -> None:
        """Store it only where the object is still of that generation. Raises Changed, also where it is gone."""

    def holds(self, key: str, content: Content) -> bool:
        """Whether the far end has exactly these bytes, by its own checksum."""

    def entries(self, prefix: str) -> list[Entry]:
        """Every object whose key starts with `prefix`, sorted by key."""

    def folders(self, prefix: str) -> list[str]:
        """First path parts below `prefix` (which ends with `/`) that hold objects."""

    def delete(self, key: str) -> None:
        """Remove it, if it is there."""
