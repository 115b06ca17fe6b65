"""Settings of the service, and of what asks it."""

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field

from catsdogs.settings.base import Count, Settings, Share, config


class ServeSettings(Settings):
    """Answer predictions over HTTP."""

    model_config = config("SERVE")

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
    max_batch: Count = 32
    """Photos that one request may carry; more are refused with 413."""
    max_batch_bytes: Count = 64 * 1024 * 1024
    """Larger requests of several photos are refused with 413."""
    max_held_bytes: Count = 128 * 1024 * 1024
    """Bytes of uploads that a process holds at a time: beyond them those of more than a megabyte are refused with 503,
    beyond twice as many all. At least twice the largest request."""
    max_pixels: Count = 64_000_000
    """Photos with more pixels are refused with 413, before decoding, and so are those of kinds of which decoding takes
    more than 6.25 bytes for each of these pixels: 400 MB."""
    queue_size: Count = 64
    """Photos that may wait; one more is refused with 503."""
    deadline_seconds: Annotated[float, Field(gt=0)] = 10.0
    """A request that takes longer is answered with 504."""
    body_seconds: Annotated[float, Field(gt=0)] = 60.0
    """A body that takes longer to arrive is refused with 408."""
    processes: Annotated[int, Field(ge=0)] = 0
    """Processes that answer (0: one per core that may be used); uvicorn's own command is always one."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Photos that a process works on at a time (0: the cores that may be used, shared among the processes)."""
    batch: Annotated[int, Field(ge=0, le=32)] = 0
    """Photos that the network answers at once where so many wait (0: 1 or 8, as a measurement right after the
    start says: more than one only where it saves time and changes no answer)."""
    reload_seconds: Annotated[float, Field(ge=0)] = 1.0
    """How often to look for a new model file, which then takes over (0: only on SIGHUP)."""
    api_keys_file: Path | None = None
    """File of lines `name scopes sha256`, which `catsdogs key` makes; with it, who has no key is refused with 401."""
    api_keys: str = ""
    """The same lines, separated by semicolons."""
    rate_per_key: Annotated[float, Field(ge=0)] = 0.0
    """Photos a second that one key may send; more are refused with 429 (0: any)."""
    hide_docs: bool = False
    """Serve no /docs and /openapi.json."""
    log_client_address: bool = False
    """Write the client's address into the log."""


class KeySettings(Settings):
    """Make an API key. It is shown once; the server keeps only its sha256."""

    model_config = config("KEY")

    name: str = "client"
    """Who will use it; stands in the log."""
    scopes: str = "predict"
    """What it is for: predict, metrics, or both with a comma."""


class SmokeTestSettings(Settings):
    """Check a running service: health, readiness, photos whose answer is known, refusals, metrics."""

    model_config = config("SMOKE_TEST")

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

    model_config = config("EVAL_BATCH")

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

    model_config = config("POST_DEPLOY_EVAL")

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
