"""A zip whose bytes depend on its content alone."""

import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from catsdogs.artifacts import Document
from catsdogs.bundle.contents import Entry
from catsdogs.errors import CatsdogsError
from catsdogs.files import atomic_write, sha256

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
LARGEST = 2 * 1024**3
"""Bytes that one unpacked file may have: a zip that was tampered with must not fill the disk."""


class Packed(Document):
    path: str
    size: int
    sha256: str


class BundleManifest(Document):
    """`MANIFEST.json`: every other file of the bundle."""

    FILE_NAME: ClassVar[str] = "MANIFEST.json"

    commit: str
    left_out_changes: list[str]  # of the working tree, which the commit does not have
    model_digest: str
    files: list[Packed]


def write_bundle(path: Path, entries: Iterable[Entry], commit: str, changes: list[str]) -> BundleManifest:
    """Write the zip: everything below one folder, sorted, without times. Raises CatsdogsError on two of one name."""
    ordered = sorted(entries, key=lambda entry: entry.path)
    for one, other in zip(ordered, ordered[1:], strict=False):
        if one.path == other.path:
            raise CatsdogsError(f"{one.path} is committed as well as an artifact: take it out of the commit.")
    packed = [Packed(path=entry.path, size=len(entry.data), sha256=sha256(entry.data)) for entry in ordered]
    digests = {file.path: file.sha256 for file in packed}
    manifest = BundleManifest(commit=commit, left_out_changes=sorted(changes), files=packed,
                              model_digest=digests["models/model.pt"])
    last = Entry(BundleManifest.FILE_NAME, (manifest.model_dump_json(indent=2) + "\n").encode())
    # Stored, not deflated: two releases of zlib compress the same content to different bytes.
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for entry in (*ordered, last):
            info = zipfile.ZipInfo(f"{path.stem}/{entry.path}", EPOCH)
            info.create_system = 3  # Unix, wherever it is written: the modes below mean something
            info.external_attr = (stat.S_IFREG | (0o755 if entry.executable else 0o644)) << 16
            archive.writestr(info, entry.data)
    return manifest


def unpack(path: Path, folder: Path) -> Path:
    """Unpack a bundle below `folder` and compare every file with the manifest; returns the folder it holds.

    Raises CatsdogsError where a file is missing, differs, or is not listed.
    """
    top = path.stem
    with zipfile.ZipFile(path) as archive:
        listed = {f"{top}/{file.path}": file for file in _manifest(archive, top, path).files}
        names = set(archive.namelist()) - {f"{top}/{BundleManifest.FILE_NAME}"}
        if strange := sorted(names ^ listed.keys()):
            raise CatsdogsError(f"{path} does not hold what its manifest lists ({strange[0]}): bundle again.")
        for info in archive.infolist():
            if info.file_size > LARGEST:
                raise CatsdogsError(f"{info.filename} in {path} is too large to be ours: bundle again.")
            target = Path(archive.extract(info, folder))  # zipfile keeps names inside `folder`
            target.chmod(stat.S_IMODE(info.external_attr >> 16))
            if (file := listed.get(info.filename)) and sha256(target.read_bytes()) != file.sha256:
                raise CatsdogsError(f"{file.path} in {path} is not what the manifest says: bundle again.")
    return folder / top


def _manifest(archive: zipfile.ZipFile, top: str, path: Path) -> BundleManifest:
    try:
        text = archive.read(f"{top}/{BundleManifest.FILE_NAME}")
    except KeyError:
        raise CatsdogsError(f"{path} holds no {BundleManifest.FILE_NAME}: bundle again.") from None
    return BundleManifest.parse(text, f"{BundleManifest.FILE_NAME} of {path}", "`catsdogs bundle`")
