"""Settings of the gate: what a model must reach before it may answer users."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from catsdogs.settings.base import Count, Settings, Share, config
from catsdogs.settings.params import Ruled


class GateLimits(Settings):
    """What is asked of a challenger, whether it is measured from files or over HTTP."""

    min_accuracy: Share = 0.7
    """Refuse a challenger with a lower accuracy, champion or not."""
    min_slice_accuracy: Share = 0.6
    """Refuse one that is less accurate on a class, or on small, large, dark, bright, soft or sharp photos."""
    min_slice_photos: Count = 50
    """Slices with fewer photos are left out: chance alone would fail them."""
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Loss of accuracy against the champion that does not matter; a loss of more must be ruled out."""
    level: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Largest chance of passing a challenger that loses the whole margin."""
    max_calibration_error: Share = 0.15
    """Refuse a challenger whose confidence is further from its accuracy (expected calibration error)."""
    max_latency_ratio: Annotated[float, Field(ge=1)] = 1.5
    """Refuse a challenger that takes so many times as long as the champion; 0.1 ms more is never too much."""


class GateSettings(Ruled, GateLimits):
    """Compare a challenger with the champion on the same test photos; exit 1 where it may not ship."""

    model_config = config("GATE")
    section = "gate"

    challenger: Path = Path("models/model.onnx")
    """Model to judge: a model.onnx, or a model.pt with its model.onnx beside it."""
    champion: Path | None = None
    """Model to compare with; without one, only the limits count."""
    data_dir: Path = Path("data/processed")
    """Folder written by preprocess, with the seed and ratios that the challenger was trained with: its test split is
    what both are asked."""
    output_json: Path = Path("artifacts/gate.json")
    """Report to write, also when the challenger is refused."""
    max_latency_ms: Annotated[float, Field(gt=0)] = 100.0
    """Refuse a challenger whose median photo takes longer in one thread."""
    max_megabytes: Annotated[float, Field(gt=0)] = 100.0
    """Refuse a larger model file."""
