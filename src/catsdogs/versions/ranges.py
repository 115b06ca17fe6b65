"""Reading contents out of packs: neighbours in one request, every file compared with its digest."""

import hashlib
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from catsdogs.stores.store import Store
from catsdogs.versions.layout import Layout
from catsdogs.versions.manifest import READS, Damaged
from catsdogs.versions.tree import PLAIN, Row

RANGE = 8 << 20  # bytes asked for in one request
GAP = 128 << 10  # bytes nobody wants are read over, rather than ask twice


@dataclass(frozen=True)
class Span:
    """Rows that lie side by side in one object, sorted by offset."""

    rows: list[Row]

    @property
    def start(self) -> int:
        return self.rows[0].offset

    @property
    def length(self) -> int:
        return max(row.offset + row.length for row in self.rows) - self.start


def spans(rows: Iterable[Row]) -> Iterator[Span]:
    """Rows of packs, joined to requests of at most RANGE bytes; a larger file is a span of its own."""
    waiting: list[Row] = []
    end = 0
    for row in sorted(rows, key=lambda row: (row.pack, row.offset)):
        joins = waiting and row.pack == waiting[0].pack and row.offset - end <= GAP \
            and max(end, row.offset + row.length) - waiting[0].offset <= RANGE
        if waiting and not joins:
            yield Span(waiting)
            waiting = []
        end = max(end, row.offset + row.length) if waiting else row.offset + row.length
        waiting.append(row)
    if waiting:
        yield Span(waiting)


def read_span(store: Store, key: str, span: Span) -> list[tuple[Row, bytes]]:
    """Each row with its bytes; asked for again where one is not what it was. Raises Missing, Damaged."""
    for attempt in range(READS):
        data = store.read(key, span.start, span.length)
        found = [(row, data[row.offset - span.start:row.offset - span.start + row.length]) for row in span.rows]
        bad = next((row for row, part in found if hashlib.sha256(part).hexdigest() != row.digest), None)
        if bad is None:
            return found
        time.sleep(random.uniform(0, 0.05 * 2**attempt))
    raise Damaged(f"{store.url}/{key} is damaged: {bad.path!r} is not what was stored." if bad else "")


def read_large(store: Store, key: str, row: Row, write: Callable[[int, bytes], None]) -> None:
    """One large content, a piece at a time; `write` gets each with its place, all anew after a wrong digest."""
    for attempt in range(READS):
        digest = hashlib.sha256()
        for start in range(0, row.length, RANGE):
            data = store.read(key, row.offset + start, min(RANGE, row.length - start))
            digest.update(data)
            write(start, data)
        if digest.hexdigest() == row.digest:
            return
        time.sleep(random.uniform(0, 0.05 * 2**attempt))
    raise Damaged(f"{store.url}/{key} is damaged: {row.path!r} is not what was stored.")


def key_of(layout: Layout, row: Row, plain: str) -> str:
    """The object that holds a row's bytes; `plain` is the prefix of the stage's plain files."""
    return plain + row.path if row.pack == PLAIN else layout.pack(row.pack)
