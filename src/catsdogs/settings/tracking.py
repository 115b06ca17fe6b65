"""Where MLflow is, declared once for all commands that speak to it."""

from typing import Annotated

from pydantic import AliasChoices, Field

from catsdogs.settings.base import Settings


class MlflowSettings(Settings):
    """The server or the database."""

    mlflow_tracking_uri: str = Field("sqlite:///mlflow.db", validation_alias=AliasChoices(
        "mlflow_tracking_uri", "MLFLOW_TRACKING_URI"))
    """Where MLflow keeps runs and models: a server's address or a database; `none` does without it."""


class ExperimentSettings(MlflowSettings):
    """And the experiment in it."""

    mlflow_experiment: str = Field("catsdogs", validation_alias=AliasChoices(
        "mlflow_experiment", "MLFLOW_EXPERIMENT_NAME"))
    """Experiment that the runs belong to."""


class RecordedSettings(ExperimentSettings):
    """Of commands whose work is recorded as a run."""

    mlflow_wait_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long a finished command waits for a server that went away, before it ends without it."""
