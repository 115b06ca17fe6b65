"""Photos that look the same share a group, and with it a split: a near-copy never tells on a test photo."""

from collections import defaultdict
from collections.abc import Callable, Iterator

from catsdogs.alike import CANDIDATE_BITS, near_pairs

HASH_BITS = 64

Alike = Callable[[str, str], bool]  # of two digests: do the pixels show the same picture?


class HashIndex:
    """Finds the groups within `bits` of a hash without comparing all pairs.

    Two hashes that differ in at most `bits` places agree in at least one of `bits + 1` bands (pigeonhole).
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        edges = [HASH_BITS * band // (bits + 1) for band in range(bits + 2)]
        self._bands = [(low, (1 << (high - low)) - 1) for low, high in zip(edges, edges[1:], strict=False)]
        self._buckets: dict[tuple[int, int], list[tuple[int, str]]] = defaultdict(list)

    def add(self, value: int, group: str) -> None:
        for key in self._keys(value):
            self._buckets[key].append((value, group))

    def groups_near(self, value: int) -> set[str]:
        return {
            group
            for key in self._keys(value)
            for other, group in self._buckets.get(key, ())
            if (value ^ other).bit_count() <= self.bits
        }

    def _keys(self, value: int) -> Iterator[tuple[int, int]]:
        for band, (shift, mask) in enumerate(self._bands):
            yield band, (value >> shift) & mask


def assign_groups(
    recorded: dict[str, tuple[str, str]], new: dict[str, str], bits: int, alike: Alike | None = None
) -> dict[str, str | None]:
    """Groups for new photos, given those already recorded.

    `recorded` maps a digest to (phash, group), `new` a digest to its phash, hashes in hex. A new photo joins the
    one group it resembles, or starts its own under its digest: `bits` decide, and where they are a few more
    `alike`. One that resembles two groups gets None: joining them would change the split of photos that are already
    in use. New photos are taken in the order of their digests, so that the answer depends on content alone.
    """
    index = HashIndex(bits)
    placed = {digest: group for digest, (_, group) in recorded.items()}
    for phash, group in recorded.values():
        index.add(int(phash, 16), group)
    candidates = _candidates(recorded, new, bits) if alike else {}
    assigned: dict[str, str | None] = {}
    for digest in sorted(new):
        value = int(new[digest], 16)
        near = index.groups_near(value)
        for other in candidates.get(digest, ()):
            theirs = placed.get(other)
            if alike and theirs and theirs not in near and alike(digest, other):
                near.add(theirs)
        if len(near) > 1:
            assigned[digest] = None
            continue
        group = near.pop() if near else digest
        assigned[digest] = placed[digest] = group
        index.add(value, group)
    return assigned


def _candidates(recorded: dict[str, tuple[str, str]], new: dict[str, str], bits: int) -> dict[str, list[str]]:
    """For each photo those beyond `bits` that its pixels are to be compared with."""
    digests = [*recorded, *new]
    old_hashes = [int(phash, 16) for phash, _ in recorded.values()]
    new_hashes = [int(phash, 16) for phash in new.values()]
    found: dict[str, list[str]] = defaultdict(list)
    for one, other in near_pairs(old_hashes, new_hashes, bits + 1, CANDIDATE_BITS):
        found[digests[one]].append(digests[other])
        found[digests[other]].append(digests[one])
    return found
