"""Which model came of which data, code and parameters: `models/by-digest/<digest>.json` in the bucket.

The digest covers the ingested photos (digests, classes, groups), the split, every parameter, the code that decides and
the versions of its packages. The same digest trains the same model, so it is not trained again.
"""

from pathlib import Path
from typing import Literal

from catsdogs.artifacts import Document, Preprocessed
from catsdogs.files import digest_of
from catsdogs.provenance import code_digest, versions
from catsdogs.settings.job import JobSettings
from catsdogs.stores.store import Content, Missing, Store
from catsdogs.versions.layout import Layout
from catsdogs.versions.manifest import read_manifest


class Trained(Document):
    schema_version: Literal[1] = 1
    digest: str  # of data, code and parameters
    commit: str  # whose models/<commit>/ holds the model
    model_digest: str  # sha256 of model.pt


def digest_of_training(settings: JobSettings, processed_dir: Path) -> str:
    """Hex digest of everything that decides the model. Raises CatsdogsError before preprocess has run."""
    about = Preprocessed.read(processed_dir / Preprocessed.FILE_NAME, "`catsdogs preprocess`")
    return digest_of({
        "manifest": about.manifest_digest, "splits": about.splits_digest, "image_size": about.image_size,
        "preparation": about.preparation, "variant": settings.model_variant, "teacher": settings.teacher,
        "length": settings.time_budget or settings.epochs, "by_time": settings.time_budget is not None,
        "batch_size": settings.batch_size, "learning_rate": settings.learning_rate, "seed": settings.seed,
        "precision": settings.precision, "code": code_digest(),
        "packages": {name: found for name, found in versions().items() if name != "catsdogs"},
    })


def find(store: Store, layout: Layout, digest: str) -> Trained | None:
    """The record of this digest, where the model it names can still be pulled."""
    key = _key(digest)
    try:
        found = Trained.parse(store.read(key), f"{store.url}/{key}", "`catsdogs job --retrain`")
    except Missing:
        return None
    return found if read_manifest(store, layout, found.commit, "models") else None


def write(store: Store, record: Trained) -> None:
    """Written before the model is pushed: cut short in between, the next job trains and writes the same again."""
    store.write(_key(record.digest), Content.of((record.model_dump_json(indent=2) + "\n").encode()))


def _key(digest: str) -> str:
    return f"models/by-digest/{digest}.json"
