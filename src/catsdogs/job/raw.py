"""Raw photos of the bucket on disk: those of a version, or the plain files that people put there."""

from pathlib import Path

from catsdogs.commands import step
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import atomic_write
from catsdogs.log import Progress, progress
from catsdogs.settings.job import JobSettings
from catsdogs.stores.store import Entry, Store
from catsdogs.versions.layout import Layout
from catsdogs.versions.manifest import read_manifest
from catsdogs.versions.transfers import Transfers

RAW = "raw"
PIECE = 64 << 20


def fetch_raw(settings: JobSettings, store: Store, commit: str, data_dir: Path) -> Path:
    """Fill data_dir/raw and return it. Raises CatsdogsError where the bucket has no raw photos."""
    layout = Layout(settings.dataset)
    version = settings.raw_commit or (commit if read_manifest(store, layout, commit, RAW) else None)
    if version is not None:
        step("pull", {"bucket": settings.bucket, "dataset": settings.dataset, "commit": version, "stage": [RAW],
                      "data_dir": data_dir})
        return data_dir / RAW
    prefix = layout.plain(commit, RAW)
    entries = [entry for entry in store.entries(prefix) if not entry.key.endswith("/")]
    if not entries:
        raise CatsdogsError(f"{store.url}/{prefix} holds no photos, and {commit} has no version of them: upload them "
                            "there, one folder per class, or name a version with --raw-commit.")
    _download(settings, store, prefix, entries, data_dir / RAW)
    return data_dir / RAW


def _download(settings: JobSettings, store: Store, prefix: str, entries: list[Entry], folder: Path) -> None:
    """What is there with the right length is not fetched again; what the bucket does not have is removed."""
    wanted = {_inside(folder, entry.key.removeprefix(prefix)): entry for entry in entries}
    for path in list(folder.rglob("*")) if folder.exists() else []:
        if path.is_file() and path not in wanted:
            path.unlink()
    missing = {path: entry for path, entry in wanted.items()
               if not path.is_file() or path.stat().st_size != entry.size}
    with progress("pull raw", len(missing), unit="files") as bar, \
            Transfers(settings.transfers, waiting=settings.transfers) as transfers:
        for path, entry in missing.items():
            transfers.start(_fetch, store, entry, path, bar)


def _fetch(store: Store, entry: Entry, path: Path, bar: Progress) -> None:
    with atomic_write(path) as file:
        for start in range(0, entry.size, PIECE):
            file.write(store.read(entry.key, start, min(PIECE, entry.size - start)))
        if file.tell() != entry.size:
            raise CatsdogsError(f"{store.url}/{entry.key} changed while it was read: run the same command again.")
    bar.advance()


def _inside(folder: Path, name: str) -> Path:
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in name:
        raise UsageError(f"The object {name!r} in the bucket leads out of its folder: rename it.")
    return folder.joinpath(*parts)
