"""Settings of the stages that handle photos."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from catsdogs.settings.base import Count, Settings, Share, config


class SampleSettings(Settings):
    """Draw labelled pictures of cats and dogs, some broken, duplicated or mislabelled on purpose."""

    model_config = config("SAMPLE")

    output_dir: Path = Path("data/raw")
    """Folder to write; must be new, empty, or an earlier sample."""
    per_class: Count = 800
    """Pictures a class."""
    seed: int = 7
    """The same seed draws the same pictures."""


class EngineSettings(Settings):
    """Where a stage works, and where it finds and leaves its photos."""

    workers: Annotated[int, Field(ge=0)] = 0
    """Processes (0: one per core this process may use)."""
    engine: Literal["local", "ray"] = "local"
    """Processes of this machine, or a Ray cluster (docs/scale.md); the result is the same, byte for byte."""
    ray_address: str | None = None
    """Ray cluster to join: an address, or `auto` inside one (default: a Ray of its own on this machine)."""
    bucket: str = ""
    """Work on a version in this bucket instead of on folders: read the stage before, add this one."""
    commit: str | None = None
    """The version in --bucket (default: the commit that is checked out)."""
    dataset: str = "cats-dogs"
    """Name below datasets/ in the bucket."""
    cache_dir: Path = Path(".catsdogs")
    """With --bucket: folder that keeps what an interrupted run has finished; may be deleted."""


class IngestSettings(EngineSettings):
    """Check raw photos, drop duplicates, sort them into one folder per class, and write a manifest."""

    model_config = config("INGEST")

    source_dir: Path | None = None
    """Folder with one folder per class (default: data/raw, unless --zip-path is given)."""
    zip_path: Path | None = None
    """Zip archive with one folder per class, read in place."""
    output_dir: Path = Path("data/ingested")
    """Folder to write or to add to."""
    max_per_class: Count | None = None
    """Keep at most so many photos a class: a stable subset, chosen by content."""
    max_bad_share: Share = 0.05
    """Stop when more than this share of the photos is unusable."""
    near_duplicate_bits: Annotated[int, Field(ge=0, le=8)] = 4
    """Photos whose 64-bit perceptual hashes differ in at most so many bits count as the same scene; up to 12 bits
    where their pixels agree as well (0: equal hashes only)."""
    fixes: Path | None = None
    """Corrections to apply: a YAML list (default: fixes.yaml, where it exists)."""
    previous: str | None = None
    """Version in --bucket whose ingested photos to add to, as a folder is added to; their splits stay."""


class PreprocessSettings(EngineSettings):
    """Resize the photos and split them into train, val and test by content."""

    model_config = config("PREPROCESS")

    input_dir: Path = Path("data/ingested")
    """Folder written by ingest."""
    output_dir: Path = Path("data/processed")
    """Folder to write."""
    image_size: Annotated[int, Field(ge=8, le=2048)] = 224
    """Side of the square photos, in pixels."""
    train_ratio: Share = 0.8
    """Share of the photos to train on."""
    val_ratio: Share = 0.1
    """Share to choose the best epoch with; what remains is the test split."""
    seed: int = 42
    """Another seed gives another split."""
    shard_photos: Count = 2048
    """With --bucket: photos that one task resizes into one shard."""
