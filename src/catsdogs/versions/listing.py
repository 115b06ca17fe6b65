"""`catsdogs versions`: what is in the bucket, how large it is, and what is shared."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from catsdogs.errors import CatsdogsError
from catsdogs.settings.versions import VersionsSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Store
from catsdogs.versions.layout import NAME, RESERVED, STAGES, Layout
from catsdogs.versions.manifest import VersionManifest, read_manifest
from catsdogs.versions.shelf import list_shelf, rows_of
from catsdogs.versions.tree import PLAIN


@dataclass(frozen=True, kw_only=True)
class Listed:
    commit: str
    stage: str
    created: float  # seconds since 1970
    files: int
    size: int
    alone: int  # bytes of contents that no other version in this bucket has
    problem: str  # why it cannot be pulled, if so


@dataclass(frozen=True, kw_only=True)
class VersionsResult:
    bucket: str
    versions: list[Listed]  # newest first
    shards: int
    stored: int  # bytes of all shards

    def text(self) -> str:
        if not self.versions:
            return f"{self.bucket} holds no version yet: `catsdogs push` stores one."
        lines = [f"{'version':<14}{'stage':<11}{'pushed (UTC)':<18}{'files':>9}{'MB':>10}{'its own':>10}{'shared':>8}"]
        for one in self.versions:
            when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(one.created))
            shared = f"{1 - one.alone / one.size:.0%}" if one.size else "-"
            figures = f"{one.files:>9,}{one.size / 1e6:>10,.1f}{one.alone / 1e6:>10,.1f}{shared:>8}"
            lines.append(f"{one.commit[:12]:<14}{one.stage:<11}{when:<18}{figures}  {one.problem}".rstrip())
        total = sum(one.size for one in self.versions)
        return "\n".join([*lines, f"{self.shards:,} shards hold {self.stored / 1e6:,.1f} MB for "
                                  f"{total / 1e6:,.1f} MB of versions in {self.bucket}"])

    def data(self) -> dict[str, Any]:
        return asdict(self)


def all_manifests(store: Store, layout: Layout, transfers: int, commit: str | None = None) -> list[VersionManifest]:
    """Every version there is (or of one commit), newest first. Raises CatsdogsError where one cannot be read."""
    commits = [commit] if commit else [
        name for name in store.folders(layout.root) if NAME.fullmatch(name) and name not in RESERVED]
    asked = [(commit, stage) for commit in commits for stage in STAGES]
    with ThreadPoolExecutor(transfers) as pool:
        found = pool.map(lambda pair: read_manifest(store, layout, *pair), asked)
        return sorted((manifest for manifest in found if manifest), key=lambda manifest: -manifest.created)


def versions(settings: VersionsSettings) -> VersionsResult:
    """List every version with its size, and how much of it no other version has."""
    store, layout = open_store(settings), Layout(settings.dataset)
    manifests = all_manifests(store, layout, settings.transfers)
    shelf = list_shelf(store, layout)
    contents: list[dict[str, int]] = []
    problems = []
    for manifest in manifests:
        try:
            rows = rows_of(store, layout, manifest, settings.transfers)
            contents.append({row.digest: row.length for row in rows})
            lost = {row.pack for row in rows if row.pack != PLAIN} - shelf.packs.keys()
            problems.append("shards are missing" if lost else "")
        except CatsdogsError as error:
            contents.append({})
            problems.append(str(error))
    owners: dict[str, int] = {}
    for content in contents:
        for digest in content:
            owners[digest] = owners.get(digest, 0) + 1
    return VersionsResult(
        bucket=store.url, shards=len(shelf.packs), stored=sum(entry.size for entry in shelf.packs.values()),
        versions=[
            Listed(commit=manifest.commit, stage=manifest.stage, created=manifest.created, files=manifest.files,
                   size=manifest.size, problem=problem,
                   alone=sum(length for digest, length in content.items() if owners[digest] == 1))
            for manifest, content, problem in zip(manifests, contents, problems, strict=True)
        ],
    )
