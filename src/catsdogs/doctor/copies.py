"""Groups of copies: exact ones as ingest recorded them, near ones by its groups and once more by all pairs."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from catsdogs.alike import CANDIDATE_BITS, SURE_BITS, Alike, near_pairs
from catsdogs.artifacts import ManifestRow, Verdict
from catsdogs.doctor.report import Copies, Photo
from catsdogs.fixes import Action, Fix, fix_line

Splits = dict[str, set[str]]  # digest -> the splits that hold it


def exact_copies(rows: list[ManifestRow], splits: Splits) -> list[Copies]:
    """Files of the same bytes. Ingest keeps one of them, or none where they lie under two classes."""
    by_digest: dict[str, list[ManifestRow]] = defaultdict(list)
    for row in rows:
        if row.digest and row.verdict in (Verdict.KEPT, Verdict.DUPLICATE, Verdict.CONFLICT):
            by_digest[row.digest].append(row)
    groups = []
    for digest, same in by_digest.items():
        problems, fixes = [], []
        if len(splits.get(digest, ())) > 1:
            problems.append("across splits")
        if any(row.verdict == Verdict.CONFLICT for row in same):
            problems += ["across classes", "refused"]
            labels = sorted({row.label for row in same})
            fixes = [*(fix_line(digest, Action.RELABEL, f"it shows a {label}", label) for label in labels),
                     fix_line(digest, Action.DROP, "it shows neither, or both")]
        if len(same) > 1 or problems:
            groups.append(Copies(kind="exact", photos=_photos(same, splits), problems=problems, fixes=fixes))
    return groups


def near_copies(kept: list[ManifestRow], splits: Splits, fixes: dict[str, Fix], folder: Path) -> list[Copies]:
    """Kept photos that look the same."""
    by_digest = {row.digest: row for row in kept}
    joined: dict[str, str] = {row.digest: row.group for row in kept}
    for one, other in _pairs(kept, folder):
        _join(joined, joined[one], joined[other])
    members: dict[str, list[ManifestRow]] = defaultdict(list)
    for digest, group in joined.items():
        members[group].append(by_digest[digest])
    groups = []
    for same in members.values():
        if len(same) > 1:
            problems = _problems(same, splits, fixes)
            groups.append(Copies(kind="near", photos=_photos(same, splits), problems=problems,
                                 fixes=_ways_out(same, problems)))
    return sorted(groups, key=lambda group: (not group.problems, group.photos[0].digest))


def _pairs(kept: list[ManifestRow], folder: Path) -> Iterable[tuple[str, str]]:
    """Look-alikes of different groups: ingest makes none, but an earlier version or other settings of it may have."""
    paths = {row.digest: folder / row.path for row in kept}
    alike = Alike(lambda digest: paths[digest].read_bytes() if paths[digest].exists() else None)
    hashes = [int(row.phash, 16) for row in kept]
    for first, second in near_pairs([], hashes, 0, CANDIDATE_BITS):
        one, other = kept[first], kept[second]
        if one.group == other.group:
            continue
        sure = (hashes[first] ^ hashes[second]).bit_count() <= SURE_BITS
        if sure or alike(one.digest, other.digest):
            yield one.digest, other.digest


def _join(joined: dict[str, str], one: str, other: str) -> None:
    if one != other:
        for digest, group in joined.items():
            if group == other:
                joined[digest] = one


def _problems(same: list[ManifestRow], splits: Splits, fixes: dict[str, Fix]) -> list[str]:
    problems = []
    if len(set().union(*(splits.get(row.digest, set()) for row in same))) > 1:
        problems.append("across splits")
    unsettled = [row for row in same if row.digest not in fixes or fixes[row.digest].action != Action.KEEP]
    if len({row.label for row in unsettled}) > 1:
        problems.append("across classes")
    return problems


def _ways_out(same: list[ManifestRow], problems: list[str]) -> list[str]:
    if "across classes" in problems:
        labels = sorted({row.label for row in same})
        return [
            fix_line(row.digest, Action.RELABEL, f"a copy of it is a {label}", label)
            for row in same for label in labels if label != row.label
        ]
    if problems:
        return [fix_line(row.digest, Action.DROP, "a copy of it is in another split") for row in same]
    return []


def _photos(rows: list[ManifestRow], splits: Splits) -> list[Photo]:
    return [
        Photo.of(row, "+".join(sorted(splits.get(row.digest, ()))) or None,
                 {Verdict.KEPT: row.path, Verdict.CONFLICT: row.quarantine_path}.get(row.verdict, ""))
        for row in rows
    ]
