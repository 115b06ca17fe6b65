"""Which path is which part of which pack: the rows of a version.

A tree is named by what it means (paths, digests, lengths), not by where the bytes lie: prune may move them, and
writes the same tree with other places. A tree that differs little from an earlier one holds only the difference to
that parent, the last of those `under` it; the others are named so that all can be fetched at once.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from catsdogs.versions.manifest import Damaged

DEEPEST = 8  # trees that one tree may lie on
PLAIN = ""  # pack of a row whose bytes are a plain object


class Row(NamedTuple):
    path: str  # below the stage's folder, with "/"; bytes that are no UTF-8 as surrogates
    digest: str  # sha256, hex
    pack: str  # sha256 of the pack, hex, or PLAIN
    offset: int
    length: int


def path_bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def tree_digest(files: Iterable[tuple[str, str, int]]) -> str:
    """Of (path, digest, length), in any order."""
    lines = sorted(b"%b\0%b\0%d\n" % (path_bytes(path), digest.encode(), length) for path, digest, length in files)
    return hashlib.sha256(b"".join(lines)).hexdigest()


def digest_of_rows(rows: Iterable[Row]) -> str:
    return tree_digest((row.path, row.digest, row.length) for row in rows)


@dataclass(frozen=True)
class Tree:
    """One tree object: `rows` and `removed` paths on top of the last of the trees `under` it."""

    rows: list[Row]
    under: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def encode(self) -> bytes:
        packs = sorted({row.pack for row in self.rows})
        number = {pack: position for position, pack in enumerate(packs)}
        document = {
            "schema_version": 1, "under": self.under, "removed": self.removed, "packs": packs,
            "rows": [[row.path, row.digest, number[row.pack], row.offset, row.length] for row in self.rows],
        }
        import gzip  # an unchanged push does without

        # ensure_ascii carries names that are not UTF-8 as escaped surrogates, and back again.
        return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 6, mtime=0)

    @classmethod
    def decode(cls, data: bytes, name: str) -> "Tree":
        import gzip

        try:
            document = json.loads(gzip.decompress(data))  # its CRC notices changed bytes
            packs = document["packs"]
            rows = [Row(_text(path), _text(digest), _text(packs[_natural(number)]), _natural(offset), _natural(length))
                    for path, digest, number, offset, length in document["rows"]]
            return cls(rows, list(map(_text, document["under"])), list(map(_text, document["removed"])))
        except (ValueError, KeyError, IndexError, TypeError, EOFError, OSError, zlib.error) as error:
            raise Damaged(f"The tree {name} is damaged ({error}): push the commit under another name.") from None


def compose(name: str, trees: dict[str, Tree]) -> dict[str, Row]:
    """Path -> row of the tree called `name`. Raises KeyError where `trees` lacks one that it lies on."""
    chain = [trees[name]]
    while chain[-1].under:
        chain.append(trees[chain[-1].under[-1]])
        if len(chain) > 10 * DEEPEST:
            raise Damaged(f"The tree {name} lies on itself: push the commit under another name.")
    found: dict[str, Row] = {}
    for tree in reversed(chain):
        for path in tree.removed:
            found.pop(path, None)
        found.update((row.path, row) for row in tree.rows)
    return found


def difference(name: str, base: Tree, before: dict[str, Row], rows: list[Row]) -> Tree:
    """The tree for `rows`: on top of `base` (called `name`, meaning `before`) where that is much smaller."""
    now = {row.path for row in rows}
    removed = sorted((path for path in before if path not in now), key=path_bytes)
    changed = [row for row in rows if (old := before.get(row.path)) is None or old.digest != row.digest]
    if len(base.under) + 1 >= DEEPEST or 2 * (len(changed) + len(removed)) > len(rows):
        return Tree(rows)
    return Tree(changed, [*base.under, name], removed)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _natural(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no length")
    return value
