"""Settings of doctor."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from catsdogs.settings.base import Count, Share, config
from catsdogs.settings.params import Ruled
from catsdogs.settings.training import LITE0


class DoctorSettings(Ruled):
    """Examine the ingested photos, write a report with pictures, and fail where a rule is broken."""

    model_config = config("DOCTOR")
    section = "doctor"

    data_dir: Path = Path("data/ingested")
    """Folder written by ingest."""
    processed_dir: Path = Path("data/processed")
    """Folder written by preprocess: its splits are checked where it exists."""
    output_dir: Path = Path("artifacts/data")
    """Folder for report.html and report.json."""
    fixes: Path | None = None
    """Corrections: photos that a person keeps are not listed again (default: fixes.yaml, where it exists)."""
    since: Path | None = None
    """Ingested folder of an earlier version to compare with (default: what the last report saw)."""
    labels: bool = False
    """Also look for wrong labels on the processed photos, after training."""
    label_folds: Annotated[int, Field(ge=2, le=10)] = 4
    """Parts of the photos: each is judged by what learned from the other parts alone."""
    label_backbone: str = LITE0
    """Pretrained network whose features judge: this one, a hub name or a folder. none trains a small network a fold
    instead, for photos that are like nothing on the internet: of few photos it finds far fewer wrong labels."""
    label_epochs: Count = 16
    """Passes over the photos in each of those trainings: more for few photos, fewer for many."""
    max_across_splits: Annotated[int, Field(ge=0)] = 0
    """Fail when more groups of copies reach into two splits."""
    max_across_classes: Annotated[int, Field(ge=0)] = 0
    """Fail when more groups of copies carry two labels."""
    max_odd_share: Share = 0.01
    """Fail when a larger share of the photos is blank, text, drawn, too dark or small, and so on."""
    max_refused_share: Share = 0.05
    """Fail when ingest refused a larger share of the files as unusable."""
    max_wrong_share: Share = 0.1
    """Fail when a larger share of the labels is probably wrong (with --labels only)."""
    max_imbalance: Annotated[float, Field(ge=1)] = 3.0
    """Fail when the largest class has more than so many times the photos of the smallest."""
    min_per_class: Count = 20
    """Fail when a class has fewer photos."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes (0: one per core this process may use)."""
