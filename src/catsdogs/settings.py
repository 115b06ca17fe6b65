"""Every knob, declared once: a field is a flag, an environment variable, a default and a line of help.

The only module that reads the environment.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Variant = Literal["baseline", "wider", "wide"]


def _config(prefix: str) -> SettingsConfigDict:
    return SettingsConfigDict(
        env_prefix=f"CATSDOGS_{prefix}_" if prefix else "CATSDOGS_",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        use_attribute_docstrings=True,
        frozen=True,
        extra="ignore",
        protected_namespaces=(),
    )


class Settings(BaseSettings):
    """What every command's settings have in common."""

    model_config = _config("")


class SampleSettings(Settings):
    """Draw labelled pictures of cats and dogs, some broken, duplicated or mislabelled on purpose."""

    model_config = _config("SAMPLE")

    output_dir: Path = Path("data/raw")
    """Folder to write; must be new, empty, or an earlier sample."""
    per_class: Count = 800
    """Pictures a class."""
    seed: int = 7
    """The same seed draws the same pictures."""


class IngestSettings(Settings):
    """Check raw photos, drop duplicates, sort them into one folder per class, and write a manifest."""

    model_config = _config("INGEST")

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
    """Photos whose 64-bit perceptual hashes differ in at most so many bits count as the same scene."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes (0: one per core this process may use)."""


class PreprocessSettings(Settings):
    """Resize the photos and split them into train, val and test by content."""

    model_config = _config("PREPROCESS")

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
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes (0: one per core this process may use)."""


class TrainSettings(Settings):
    """Train a network, keep its best epoch, report on the test split, and export it for serving."""

    model_config = _config("TRAIN")

    data_dir: Path = Path("data/processed")
    """Folder written by preprocess."""
    output_model: Path = Path("models/model.pt")
    """Weights to write; model.onnx is written beside it."""
    artifact_dir: Path = Path("artifacts/training")
    """Folder for metrics.json, the confusion matrix and the loss curve."""
    epochs: Count = 3
    """Passes over the training photos."""
    batch_size: Count = 64
    """Photos a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    """Step size of Adam."""
    model_variant: Variant = "baseline"
    """Network to train; `catsdogs models` compares them."""
    seed: int = 42
    """Seeds weights, order and augmentation: the same seed gives the same weights on the same machine."""
    force_cpu: bool = False
    """Train on the processor even where there is a GPU."""
    mlflow_tracking_uri: str = Field("sqlite:///mlflow.db", validation_alias=AliasChoices(
        "mlflow_tracking_uri", "MLFLOW_TRACKING_URI"))
    """Where runs are recorded: a server's address or a database; `none` records nothing."""
    mlflow_experiment: str = Field("catsdogs", validation_alias=AliasChoices(
        "mlflow_experiment", "MLFLOW_EXPERIMENT_NAME"))
    """Experiment that the run belongs to."""


class PackageSettings(Settings):
    """Export model.pt as model.onnx, and check that both answer alike on photos of the validation split."""

    model_config = _config("PACKAGE")

    model_path: Path = Path("models/model.pt")
    """Weights written by train; model.onnx is written beside them."""
    data_dir: Path = Path("data/processed")
    """Folder written by preprocess."""
    photos: Count = 200
    """Photos on which both must agree within 0.001."""


class ModelsSettings(Settings):
    """List the network variants with their parameters, arithmetic and latency."""

    model_config = _config("MODELS")

    image_size: Annotated[int, Field(ge=8, le=2048)] = 224
    """Side of the square photos, in pixels."""


class ServeSettings(Settings):
    """Answer predictions over HTTP."""

    model_config = _config("SERVE")

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to listen on."""
    enable_real_model: bool = Field(False, validation_alias=AliasChoices("enable_real_model", "ENABLE_REAL_MODEL"))
    """Refuse to start without a sound model; without this a stub answers, for development only."""
    model_path: Path = Field(Path("models/model.pt"), validation_alias=AliasChoices("model_path", "MODEL_PATH"))
    """model.pt (its model.onnx lies beside it) or a model.onnx."""
    max_upload_bytes: Count = 20 * 1024 * 1024
    """Larger requests are refused with 413."""
    max_pixels: Count = 64_000_000
    """Photos with more pixels are refused with 413, before decoding."""
    queue_size: Count = 64
    """Photos that may wait; one more is refused with 503."""
    deadline_seconds: Annotated[float, Field(gt=0)] = 10.0
    """A request that takes longer is answered with 504."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Photos worked on at a time (0: one per core this process may use)."""


class SmokeTestSettings(Settings):
    """Check a running service: health, readiness, photos whose answer is known, refusals, metrics."""

    model_config = _config("SMOKE_TEST")

    base_url: str = "http://127.0.0.1:8080"
    """Address of the service."""
    model_path: Path = Path("models/model.pt")
    """Where this exists, its golden photos are sent and its version is expected."""
    wait_seconds: Annotated[float, Field(ge=0)] = 60.0
    """How long the service may take to come up."""
    max_latency_ms: Annotated[float, Field(gt=0)] = 2000.0
    """Slowest answer allowed."""


class EvalBatchSettings(Settings):
    """Choose labelled original photos of the test split, and copy them beside a CSV that names them."""

    model_config = _config("EVAL_BATCH")

    processed_dir: Path = Path("data/processed")
    """Folder written by preprocess."""
    output_csv: Path = Path("artifacts/eval_batch.csv")
    """CSV to write; the photos go into the folder of the same name beside it."""
    per_class: Count = 100
    """Photos a class; fewer where the test split holds fewer."""
    seed: int = 42
    """Another seed chooses other photos."""


class PostDeployEvalSettings(Settings):
    """Send labelled photos to a running service and judge its answers."""

    model_config = _config("POST_DEPLOY_EVAL")

    base_url: str = "http://127.0.0.1:8080"
    """Address of the service."""
    input_csv: Path = Path("artifacts/eval_batch.csv")
    """CSV written by eval-batch."""
    output_json: Path = Path("artifacts/post_deploy_eval.json")
    """Report to write, also when the evaluation fails."""
    concurrency: Count = 8
    """Requests in flight."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Longest wait for one answer."""
    wait_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long the service may take to come up."""
    min_accuracy: Share | None = None
    """Fail when the accuracy is lower."""
    max_p99_ms: Annotated[float, Field(gt=0)] | None = None
    """Fail when the slowest hundredth of the answers takes longer."""


class DemoSettings(Settings):
    """Run the whole chain on drawn or real photos, and print one summary."""

    model_config = _config("DEMO")

    photos: Path | None = None
    """Folder or zip of real photos; without it, photos are drawn."""
    work_dir: Path = Path("demo")
    """Folder that everything is written under."""
    image_size: Annotated[int, Field(ge=8, le=2048)] = 64
    """Side of the square photos, in pixels."""
    epochs: Annotated[int, Field(ge=0)] = 0
    """Passes over the training photos (0: 3 to 10, the fewer the more photos there are)."""
    model_variant: Variant = "baseline"
    """Network to train."""


def cores() -> int:
    """Processor cores that this process may use: its affinity, lowered to its cgroup's quota (container limits)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))
