"""Settings of what moves data between disk and a bucket."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from catsdogs.settings.base import Count, Settings, config

Stage = Literal["raw", "ingested", "processed", "models"]
ARCHIVE = ("https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/"
           "kagglecatsanddogs_5340.zip")


class BucketSettings(Settings):
    """Where versions are kept, and how to talk to it."""

    bucket: str = Field("", validation_alias=AliasChoices("bucket", "CATSDOGS_BUCKET"))
    """gs://name, s3://name (either with /folder behind it), or a folder."""
    dataset: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "cats-dogs"
    """Name below datasets/ in the bucket."""
    transfers: Annotated[int, Field(ge=1, le=256)] = 16
    """Transfers at a time."""
    stall_seconds: Annotated[float, Field(gt=0)] = 30.0
    """A transfer that stands still for so long, or crawls after it, is tried again."""
    storage_emulator_host: str | None = Field(
        None, validation_alias=AliasChoices("storage_emulator_host", "STORAGE_EMULATOR_HOST"))
    """Address of a server that stands in for Google's, without credentials."""


def bucket_of(address: str, dataset: str) -> BucketSettings:
    """A bucket that another command's flags name; the rest as the environment says (CATSDOGS_TRANSFERS, ...)."""
    return BucketSettings(bucket=address, dataset=dataset)


class TreeSettings(BucketSettings):
    """What lies on disk."""

    data_dir: Path = Path("data")
    """Folder that holds raw, ingested and processed."""
    models_dir: Path = Path("models")
    """Folder that holds model.pt and model.onnx."""
    metrics: Path = Path("artifacts/training/metrics.json")
    """Metrics of that model."""
    cache_dir: Path = Path(".catsdogs")
    """Folder that remembers the digests of unchanged files; may be deleted."""


class PushSettings(TreeSettings):
    """Store the folders of this commit in a bucket, each content once."""

    model_config = config("PUSH")

    stage: list[Stage] = []
    """Stages to push (default: those that exist)."""
    commit: str | None = None
    """Name of the version (default: the commit that is checked out)."""
    allow_dirty: bool = False
    """Push although the working tree has changes that the commit does not."""
    unpacked: bool = False
    """Also store every file under its own name, for people who browse the bucket."""
    rehash: bool = False
    """Read every file, also those whose size and times say that they have not changed."""
    pack_megabytes: Annotated[float, Field(gt=0)] = 64.0
    """Size at which a shard is closed."""


class PullSettings(TreeSettings):
    """Fetch the folders of a commit from a bucket, byte for byte."""

    model_config = config("PULL")

    stage: list[Stage] = []
    """Stages to pull (default: those that the version has)."""
    commit: str | None = None
    """Version to pull (default: the commit that is checked out)."""
    overwrite: bool = False
    """Replace files that differ, and leave alone those that are not part of the version; without it both refuse."""


class VersionsSettings(BucketSettings):
    """List the versions in a bucket, with their size and what they share."""

    model_config = config("VERSIONS")


class VerifySettings(BucketSettings):
    """Read versions again and compare every byte with its digest."""

    model_config = config("VERIFY")

    commit: str | None = None
    """Version to read (default: all)."""
    stage: list[Stage] = []
    """Stages to read (default: all)."""


class PruneSettings(BucketSettings):
    """Free what no version names; only says what it would do unless told --apply."""

    model_config = config("PRUNE")

    keep: Count = 10
    """Newest versions of the data to keep; models are always kept."""
    apply: bool = False
    """Do it."""
    grace_hours: Annotated[float, Field(ge=0)] = 24.0
    """What becomes free is deleted by a later prune, so many hours on; under 2 only where nobody pushes or pulls."""
    sparse: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Shards of which less than this share is still named are packed anew."""


class FetchSettings(Settings):
    """Download Microsoft's archive of cats and dogs (800 MB), going on where an earlier download stopped."""

    model_config = config("FETCH")

    url: str = ARCHIVE
    """Address of the archive."""
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Digest the archive must have (default: not checked, only printed; Microsoft publishes none)."""
    output: Path = Path("data/kagglecatsanddogs_5340.zip")
    """File to write."""
    stall_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Longest silence of the server."""
