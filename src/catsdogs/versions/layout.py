"""Where everything lies in the bucket.

    datasets/<dataset>/<commit>/<stage>/manifest.json    a version: written last, never again
    datasets/<dataset>/shards/<digest>.tar               packs: the content, each file once
    datasets/<dataset>/shards/trees/<stage>-<digest>...  which path is which part of which pack
    datasets/<dataset>/shards/condemned/...              names that prune will free, and no push may build on
    datasets/<dataset>/<commit>/<stage>/<path>           plain copies (--unpacked); of raw: datasets/<dataset>/raw/
    models/<commit>/<file>                               plain, always
    models/by-digest/<digest>.json                       which commit's model these data, code and parameters gave
"""

import re
from dataclasses import dataclass

from catsdogs.errors import UsageError

STAGES = ("raw", "ingested", "processed", "models")
MANIFEST = "manifest.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
RESERVED = frozenset({"raw", "shards", "by-digest"})


@dataclass(frozen=True)
class Layout:
    dataset: str

    @property
    def root(self) -> str:
        return f"datasets/{self.dataset}/"

    @property
    def shards(self) -> str:
        return f"{self.root}shards/"

    @property
    def trees(self) -> str:
        return f"{self.shards}trees/"

    @property
    def condemned(self) -> str:
        return f"{self.shards}condemned/"

    def pack(self, digest: str) -> str:
        return f"{self.shards}{digest}.tar"

    def tree(self, name: str) -> str:
        return f"{self.trees}{name}.json.gz"

    def tombstone(self, key: str) -> str:
        return self.condemned + key.removeprefix(self.shards)

    def buried(self, tombstone: str) -> str:
        return self.shards + tombstone.removeprefix(self.condemned)

    def manifest(self, commit: str, stage: str) -> str:
        return f"{self.root}{commit}/{stage}/{MANIFEST}"

    def plain(self, commit: str, stage: str) -> str:
        """Prefix of a stage's plain files."""
        if stage == "models":
            return f"models/{commit}/"
        return f"{self.root}raw/" if stage == "raw" else f"{self.root}{commit}/{stage}/"


def checked_name(commit: str) -> str:
    """Raises UsageError where `commit` could not be a folder of its own in the bucket."""
    if not NAME.fullmatch(commit) or commit in RESERVED:
        raise UsageError(f"--commit {commit}: a version's name is letters, digits, '.', '_' and '-', at most 100, "
                         "and none of 'raw', 'shards' and 'by-digest'.")
    return commit
