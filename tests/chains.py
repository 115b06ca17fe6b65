"""Raw photos with every fault, and the two ways from them to resized ones: through folders, and inside a bucket."""

from pathlib import Path
from typing import Any

from catsdogs.ingest.stage import ingest
from catsdogs.preprocess.stage import preprocess
from catsdogs.settings.data import IngestSettings, PreprocessSettings
from tests.photos import bad, encoded, jpeg, odd_but_good, picture, write, write_raw

INGEST: dict[str, Any] = {"max_bad_share": 0.5}
PREPROCESS: dict[str, Any] = {"image_size": 24, "train_ratio": 0.6, "val_ratio": 0.2}


def planted(folder: Path, per_class: int = 24) -> Path:
    """Good photos, odd ones, unusable files, exact and near-copies, and one photo under both classes."""
    write_raw(folder, per_class)
    for name, data in odd_but_good().items():
        write(folder / "Cat" / f"odd-{name}", data)
    for name, (data, _) in bad().items():
        write(folder / "Dog" / name, data)
    write(folder / "Cat" / "again.jpg", jpeg(0))
    write(folder / "Cat" / "near.jpg", encoded(picture(1), quality=60))
    write(folder / "Cat" / "deep" / "er" / "кіт 1.jpg", jpeg(600))
    for label in ("Cat", "Dog"):
        write(folder / label / "both.jpg", jpeg(700))
    return folder


def in_folders(root: Path, **engine: Any) -> None:
    """`root`/data/raw -> ingested and processed beside it."""
    data = root / "data"
    engine = {"workers": 1} | engine
    ingest(IngestSettings(source_dir=data / "raw", output_dir=data / "ingested", **INGEST, **engine))
    preprocess(PreprocessSettings(input_dir=data / "ingested", output_dir=data / "processed", **PREPROCESS, **engine))


def in_bucket(bucket: str, cache: Path, commit: str = "c1", *, shard_photos: int = 16, **engine: Any) -> None:
    """The stage raw of a version -> the other two."""
    named: dict[str, Any] = {"bucket": bucket, "commit": commit, "cache_dir": cache, "workers": 1} | engine
    ingest(IngestSettings(**named, **INGEST))
    preprocess(PreprocessSettings(**named, **PREPROCESS, shard_photos=shard_photos))
