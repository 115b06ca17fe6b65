"""Settings of the search for hyperparameters."""

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field

from catsdogs.settings.base import Count, Duration, Settings, config
from catsdogs.settings.training import Precision, Variant


class TuneSettings(Settings):
    """Try hyperparameters, judged on the validation split, and print what to change in params.yaml."""

    model_config = config("TUNE")

    data_dir: Path = Path("data/processed")
    """Folder written by preprocess."""
    artifact_dir: Path = Path("artifacts/tune")
    """Folder for the study; a search that was cut short goes on from there."""
    params: Path = Path("params.yaml")
    """File whose section `train` the outcome is compared with."""
    apply: bool = False
    """Write the outcome into that file instead of only showing it."""
    trials: Count = 20
    """Trials in all, those of earlier calls included."""
    time_budget: Duration | None = None
    """Stop after so long (90s, 5m, 1h30m), whatever the number of trials."""
    processes: Count = 1
    """Trials at a time; they share the cores."""
    epochs: Count = 3
    """Passes over the training photos of a trial that is not given up early."""
    model_variant: Variant = "baseline"
    """Network to search for."""
    seed: int = 42
    """Of the trainings, and of the search."""
    force_cpu: bool = False
    """Train on the processor even where there is a GPU."""
    precision: Precision = "auto"
    """As for train."""
    mlflow_tracking_uri: str = Field("sqlite:///mlflow.db", validation_alias=AliasChoices(
        "mlflow_tracking_uri", "MLFLOW_TRACKING_URI"))
    """Where the search is recorded, each trial as a child of its run; `none` records nothing."""
    mlflow_experiment: str = Field("catsdogs", validation_alias=AliasChoices(
        "mlflow_experiment", "MLFLOW_EXPERIMENT_NAME"))
    """Experiment that the runs belong to."""
    mlflow_wait_seconds: Annotated[float, Field(ge=0)] = 30.0
    """As for train."""
