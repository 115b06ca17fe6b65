"""Settings of the training job, and of the backup of MLflow's databases."""

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field

from catsdogs.settings.base import Count, Duration, config
from catsdogs.settings.training import LITE0, Precision, Variant
from catsdogs.settings.versions import BucketSettings


class JobSettings(BucketSettings):
    """Train from the bucket to the bucket: pull raw photos, ingest, preprocess, doctor, train, push, gate."""

    model_config = config("JOB")

    work_dir: Path = Path("job")
    """Folder that everything is written under; a second run reuses what the first one finished."""
    commit: str | None = Field(None, validation_alias=AliasChoices("commit", "CATSDOGS_COMMIT"))
    """Name of the version that is pushed (default: the commit of the image, or that is checked out)."""
    raw_commit: str | None = None
    """Version whose raw photos to use (default: this commit's, where it has some, else datasets/<dataset>/raw)."""
    fixes: Path | None = None
    """Corrections to apply: a YAML list (default: fixes.yaml, where it exists)."""
    doctor_warns: bool = False
    """Go on where a rule of doctor is broken; its report says so. Without this the job ends there."""
    image_size: Annotated[int, Field(ge=8, le=2048)] = 112
    """Side of the square photos, in pixels."""
    model_variant: Variant = "fast"
    """Network to train."""
    teacher: str = LITE0
    """Pretrained network whose features are learned too, as of `catsdogs train`; an empty name for none."""
    epochs: Count = 12
    """Passes over the training photos."""
    time_budget: Duration | None = None
    """Train as long as this (90s, 5m, 1h30m) instead of --epochs; the same job may then end with another model."""
    batch_size: Count = 64
    """Photos a step."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.002
    """Step size, as of `catsdogs train`."""
    seed: int = 42
    """Seeds split, weights, order and augmentation."""
    precision: Precision = "auto"
    """Of the arithmetic, as of `catsdogs train`."""
    force_cpu: bool = False
    """Train on the processor even where there is a GPU."""
    retrain: bool = False
    """Train although the bucket has a model of the same data, code and parameters."""
    unpacked: bool = False
    """Also store every photo under its own name, for people who browse the bucket."""
    nodes: Count = 1
    """Machines that train together, each with this command; torchrun joins them. One that goes may come again."""
    rank: Annotated[int, Field(ge=0)] = Field(0, validation_alias=AliasChoices("rank", "RANK"))
    """Number of this one among them, from 0: only number 0 pushes and gates."""
    meet: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*:[0-9]{1,5}$")] = "localhost:29500"
    """With several nodes: address and port of number 0, where they find each other."""
    meet_seconds: Duration = 1800.0
    """How long to wait for the other nodes, each time, before this one gives up (exit status 75)."""


class BackupSettings(BucketSettings):
    """Copy SQLite databases that are in use to the bucket, or get such a copy back."""

    model_config = config("BACKUP")

    database: list[Path] = [Path("mlflow.db")]
    """Databases to copy."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")] = "backups/mlflow"
    """Folder in the bucket."""
    keep: Count = 30
    """Newest copies of each database to keep."""
    restore: str | None = None
    """Bring back the copy of this time (20260131T021700Z, or `latest`) instead; databases must not exist."""
