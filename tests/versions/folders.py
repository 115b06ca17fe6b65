"""Small stage folders, and the commands on them."""

import random
from pathlib import Path

from catsdogs.settings.versions import PullSettings, PushSettings
from catsdogs.versions.pull import PullResult, pull
from catsdogs.versions.push import PushResult, push

PACK = 0.05  # megabytes: a few dozen files of 1 to 3 kB a pack


def blob(seed: int, size: int | None = None) -> bytes:
    generator = random.Random(seed)
    return generator.randbytes(generator.randrange(1000, 3000) if size is None else size)


def write_stage(data: Path, count: int, *, first: int = 0, stage: str = "ingested") -> Path:
    """`count` files that look like photos in two classes, with what a finished stage leaves behind."""
    folder = data / stage
    for number in range(first, first + count):
        path = folder / ("cat", "dog")[number % 2] / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob(number))
    (folder / "manifest.csv").write_text(f"rows {first + count}\n")
    (folder / "preprocess.json").write_text("{}")
    (folder / ".catsdogs-ingest").touch()
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pushed(root: Path, bucket: str, commit: str = "c1", **options: object) -> PushResult:
    """Push `root`/data as a version called `commit`."""
    settings: dict[str, object] = {"data_dir": root / "data", "models_dir": root / "models", "bucket": bucket,
                                   "metrics": root / "metrics.json", "cache_dir": root / ".catsdogs",
                                   "pack_megabytes": PACK, "commit": commit}
    return push(PushSettings(**(settings | options)))  # type: ignore[arg-type]


def pulled(root: Path, bucket: str, commit: str = "c1", **options: object) -> PullResult:
    settings: dict[str, object] = {"data_dir": root / "data", "models_dir": root / "models", "bucket": bucket,
                                   "metrics": root / "metrics.json", "commit": commit}
    return pull(PullSettings(**(settings | options)))  # type: ignore[arg-type]
