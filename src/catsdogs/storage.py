"""Folders that may live at gs://, s3:// or on disk: one address, one small interface."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.stores.store import Store

if TYPE_CHECKING:
    from catsdogs.settings.versions import BucketSettings

EXTRAS = {"gs": "gcs", "s3": "s3"}


class MissingExtra(CatsdogsError):
    """The store is supported, but its client is not installed. `scheme` and `extra` say which."""

    def __init__(self, scheme: str, extra: str) -> None:
        super().__init__(f"{scheme}:// is supported, but needs the extra `{extra}`: pip install 'catsdogs[{extra}]'.")
        self.scheme, self.extra = scheme, extra

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.scheme, self.extra)


def open_store(settings: "BucketSettings") -> Store:
    """The store that `--bucket` names. Raises UsageError for an address of no known kind, MissingExtra."""
    address = settings.bucket
    if not address:
        raise UsageError("No bucket is named: --bucket gs://name, s3://name or a folder (or set CATSDOGS_BUCKET).")
    scheme, separator, _ = address.partition("://")
    if not separator:
        return _folder(Path(address))
    if scheme == "file":
        return _folder(Path(unquote(urlsplit(address).path)))
    if scheme not in EXTRAS:
        raise UsageError(f"--bucket {address}: {scheme}:// is not supported: gs://, s3:// or a folder is.")
    parts = urlsplit(address)
    bucket, prefix = parts.netloc, parts.path.strip("/")
    if not bucket or parts.query or parts.fragment or "@" in bucket:
        raise UsageError(f"--bucket {address} names no bucket: {scheme}://name or {scheme}://name/folder does.")
    transfers, stall = settings.transfers, settings.stall_seconds
    try:
        if scheme == "gs":
            from catsdogs.stores.gcs import GcsStore
            return GcsStore(bucket, prefix, settings.storage_emulator_host, transfers, stall)
        from catsdogs.stores.s3 import S3Store
        return S3Store(bucket, prefix, transfers, stall)
    except ModuleNotFoundError:
        raise MissingExtra(scheme, EXTRAS[scheme]) from None


def _folder(path: Path) -> Store:
    from catsdogs.stores.folder import FolderStore

    return FolderStore(path.absolute())
