"""Plain copies: every file of a stage as an object of its own name, for people and programs that browse buckets."""

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.log import progress
from catsdogs.stores.store import Content, Exists, Store
from catsdogs.versions.disk import LocalFile
from catsdogs.versions.layout import MANIFEST
from catsdogs.versions.transfers import Transfers
from catsdogs.versions.tree import path_bytes


def push_plain(store: Store, prefix: str, files: list[LocalFile], found: list[tuple[str, str, int]], transfers: int,
               *, claimed: bool, label: str) -> int:
    """Store those that are not there; returns how many. `claimed`: a version names what lies there already.

    What an unfinished push left behind is replaced, or removed where it does not belong; what is claimed never is.
    Raises UsageError for names that no object can have, CatsdogsError for claimed objects with other bytes.
    """
    by_path = {file.path: file for file in files}
    for path in by_path:
        if path == MANIFEST or not _printable(path):
            raise UsageError(f"{path!r} cannot be the name of a plain object: rename the file, or leave out "
                             "--unpacked.")
    there = {entry.key: entry.size for entry in store.entries(prefix)}
    written: list[str] = []

    def one(path: str, digest: str, length: int) -> None:
        if stored(path, digest, length):
            written.append(path)
        bar.advance()

    def stored(path: str, digest: str, length: int) -> bool:
        key = prefix + path
        content = Content.file(by_path[path].local)
        if content.sha256 != digest:
            raise CatsdogsError(f"{by_path[path].local} changed while it was being pushed: run the command again.")
        if there.get(key) == length and store.holds(key, content):
            return False
        if key in there and claimed:
            raise _other(store, key)
        try:
            store.write(key, content, absent=key not in there)
        except Exists:  # by another push, or our own request whose answer was lost
            if not store.holds(key, content):
                raise _other(store, key) from None
        return True

    with progress(label, len(found), unit="files") as bar, Transfers(transfers, waiting=transfers) as pool:
        for row in found:
            pool.start(one, *row)
        if not claimed and not prefix.startswith("models/"):
            ours = {prefix + path for path in by_path} | {prefix + MANIFEST}
            for key in there.keys() - ours:
                pool.start(store.delete, key)
    return len(written)


def _printable(path: str) -> bool:
    try:
        path_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() for character in path)


def _other(store: Store, key: str) -> CatsdogsError:
    return CatsdogsError(f"{store.url}/{key} holds other bytes and is never replaced: take the file back, or push "
                         "without --unpacked.")
