"""A version: one small file that names a tree, written when everything it names is there.

Without pydantic, which takes as long to import as an unchanged push takes in all.
"""

import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Self, TypeVar

from catsdogs.errors import CatsdogsError
from catsdogs.files import digest_of
from catsdogs.stores.store import Content, Exists, Missing, Store
from catsdogs.versions.layout import Layout

Parsed = TypeVar("Parsed")
READS = 8  # of an object that does not pass its own checks: answers get corrupted on the way


class Damaged(CatsdogsError):
    """Bytes that are not what was stored."""


@dataclass(frozen=True, kw_only=True)
class VersionManifest:
    schema_version: int = 1
    commit: str
    stage: str
    created: float  # seconds since 1970
    files: int
    size: int  # bytes of all files
    tree: str  # name of the tree object: <stage>-<tree digest>[-<suffix>]
    tree_digest: str  # of every path with its digest and length
    unpacked: bool  # plain copies lie beside it
    check: str = ""  # digest of the other fields

    def sealed(self) -> Self:
        return replace(self, check=self._digest())

    def _digest(self) -> str:
        return digest_of({name: value for name, value in asdict(self).items() if name != "check"})

    def encode(self) -> bytes:
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    @classmethod
    def decode(cls, data: bytes, key: str) -> Self:
        """Raises Damaged for anything but what `encode` wrote."""
        try:
            document = json.loads(data)
            found = cls(**document)
            strange = [field.name for field in fields(cls) if not _fits(document[field.name], field.type)]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Damaged(f"{key} is damaged ({error}): write it anew with `catsdogs push`.") from None
        if strange or found.schema_version != 1:
            raise Damaged(f"{key} is damaged ({', '.join(strange) or 'another schema'}): write it anew with "
                          "`catsdogs push`.")
        if found.check != found._digest():
            raise Damaged(f"{key} is damaged: it does not pass its own check; push the commit under another name.")
        return found


def _fits(value: object, kind: object) -> bool:
    return type(value) is kind or (kind is float and type(value) is int)


def read_checked(store: Store, key: str, parse: Callable[[bytes], Parsed]) -> Parsed:
    """Read and parse, again where `parse` raises Damaged. Raises Missing, or Damaged after READS times."""
    for attempt in range(READS):
        try:
            return parse(store.read(key))
        except Damaged:
            if attempt == READS - 1:
                raise
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
    raise AssertionError("unreachable")


def read_manifest(store: Store, layout: Layout, commit: str, stage: str) -> VersionManifest | None:
    """None where this version has no such stage."""
    key = layout.manifest(commit, stage)
    try:
        found = read_checked(store, key, lambda data: VersionManifest.decode(data, f"{store.url}/{key}"))
    except Missing:
        return None
    if (found.commit, found.stage) != (commit, stage):
        raise Damaged(f"{store.url}/{key} belongs to {found.commit} {found.stage}: somebody moved it.")
    return found


def create(store: Store, key: str, content: Content) -> None:
    """Create an object whose name says its content; one that is there already is healed where it differs."""
    try:
        store.write(key, content, absent=True)
    except Exists:  # an earlier push, or our own request whose answer was lost
        if not store.holds(key, content):
            store.write(key, content)
