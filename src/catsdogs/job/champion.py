"""The model that answers users now, as the bucket names it, on disk for the gate."""

import json
from pathlib import Path

from catsdogs.commands import step
from catsdogs.errors import CatsdogsError
from catsdogs.settings.job import JobSettings
from catsdogs.stores.store import Missing, Store

KEY = "models/champion.json"


def fetch_champion(settings: JobSettings, store: Store, folder: Path) -> Path | None:
    """Its model.onnx below `folder`; None where there is no champion yet. Raises CatsdogsError where it is named but
    cannot be had: a gate without it would let anything pass that meets the limits."""
    try:
        data = store.read(KEY)
    except Missing:
        return None
    try:
        commit = json.loads(data)["commit"]
        assert isinstance(commit, str)
    except (ValueError, KeyError, TypeError, AssertionError):
        raise CatsdogsError(f"{store.url}/{KEY} names no commit: look at it, `catsdogs promote` writes it.") from None
    step("pull", {"bucket": settings.bucket, "dataset": settings.dataset, "commit": commit, "stage": ["models"],
                  "data_dir": folder, "models_dir": folder, "metrics": folder / "metrics.json", "overwrite": True})
    return folder / "model.onnx"
