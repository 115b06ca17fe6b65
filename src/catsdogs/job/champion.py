"""The model that answers users now, as the bucket names it, on disk for the gate."""

from pathlib import Path

from catsdogs.champion.move import champion
from catsdogs.commands import step
from catsdogs.errors import CatsdogsError
from catsdogs.files import sha256_file
from catsdogs.settings.job import JobSettings
from catsdogs.stores.store import Store


def fetch_champion(settings: JobSettings, store: Store, folder: Path) -> Path | None:
    """Its model.onnx below `folder`; None where there is no champion yet.

    Raises CatsdogsError where it is named but cannot be had: a gate without it would pass whatever meets the limits.
    """
    seen = champion(store).value
    if seen is None or seen.model is None:
        return None
    model = seen.model
    if model.commit is None:
        raise CatsdogsError(f"The champion of {store.url} ({model.name}) names no commit and cannot be fetched: name "
                            "it anew with `catsdogs promote --commit`.")
    step("pull", {"bucket": settings.bucket, "dataset": settings.dataset, "commit": model.commit, "stage": ["models"],
                  "data_dir": folder, "models_dir": folder, "metrics": folder / "metrics.json", "overwrite": True})
    if model.model_digest and sha256_file(folder / "model.pt") != model.model_digest:
        raise CatsdogsError(f"models/{model.commit} in {store.url} is another model than the champion "
                            f"{model.model_digest[:12]}: name the right commit with `catsdogs promote --commit`.")
    return folder / "model.onnx"
