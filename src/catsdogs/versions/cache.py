"""Where an interrupted run in a bucket keeps what it has finished."""

from pathlib import Path
from typing import Any

from catsdogs.files import digest_of, write_bytes


def run_folder(cache_dir: Path, stage: str, about: Any) -> Path:
    """A folder of the cache for runs of this stage on exactly this; made, and kept out of git."""
    folder = cache_dir / f"{stage}-{digest_of(about)[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (ignore := cache_dir / ".gitignore").exists():
        write_bytes(ignore, b"*\n")
    return folder
