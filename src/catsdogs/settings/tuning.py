"""Settings of the search for hyperparameters."""

from pathlib import Path

from catsdogs.settings.base import Count, Duration, config
from catsdogs.settings.tracking import RecordedSettings
from catsdogs.settings.training import Precision, Variant


class TuneSettings(RecordedSettings):
    """Try hyperparameters, judged on the validation split, and print what to change in params.yaml."""

    model_config = config("TUNE")

    data_dir: Path = Path("data/processed")
    """Folder written by preprocess."""
    artifact_dir: Path = Path("artifacts/tune")
    """Folder for the study; a search that was cut short goes on from there."""
    params: Path = Path("params.yaml")
    """File whose section `train` says what is trained, and which the outcome is compared with."""
    apply: bool = False
    """Write the outcome into that file instead of only showing it."""
    trials: Count = 20
    """Trials in all, those of earlier calls included."""
    time_budget: Duration | None = None
    """Stop after so long (90s, 5m, 1h30m), whatever the number of trials."""
    processes: Count = 1
    """Trials at a time; they share the cores."""
    epochs: Count | None = None
    """Passes over the training photos of a trial that is not given up early; by default those of --params."""
    model_variant: Variant | None = None
    """Network to search for; by default that of --params."""
    seed: int = 42
    """Of the trainings, and of the search."""
    force_cpu: bool = False
    """Train on the processor even where there is a GPU."""
    precision: Precision = "auto"
    """As for train."""
