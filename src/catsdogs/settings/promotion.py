"""Settings of what makes a model the champion."""

from pathlib import Path

from pydantic import AliasChoices, Field

from catsdogs.settings.base import config
from catsdogs.settings.tracking import MlflowSettings
from catsdogs.settings.versions import BucketSettings


class RegistrySettings(BucketSettings, MlflowSettings):
    """Who decides, and where the decision is mirrored."""

    who: str = Field("", validation_alias=AliasChoices("who", "CATSDOGS_WHO"))
    """Who decides: a name for the log."""
    why: str = ""
    """Why, in a few words for the log."""
    registered_model: str = "cats-dogs"
    """Name of the model in MLflow's registry, whose alias `champion` is moved."""


class PromoteSettings(RegistrySettings):
    """Make a model the champion by hand, or take the last promotion back; says who, why, and on what evidence."""

    model_config = config("PROMOTE")

    commit: str | None = None
    """Version in the bucket to promote: a commit, or the first digits of one."""
    model_path: Path | None = None
    """Model on disk to promote instead."""
    image: str | None = None
    """Image that serves it, by digest; without one, `catsdogs rollback` cannot go back to it."""
    evidence: Path | None = None
    """Report of `catsdogs gate` on this model; one that refused it is no evidence."""
    undo: bool = False
    """Take the last promotion back."""
