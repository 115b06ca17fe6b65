"""Photos for the rehearsal, and what a person would have put into the bucket before the first push."""

import csv
import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from catsdogs.files import sha256
from catsdogs.sample.stage import PLANTED, sample
from catsdogs.settings.data import SampleSettings
from catsdogs.stores.store import Content, Store

ARCHIVE = "cats-dogs-180px.zip"
LABELS = {"cat": "dog", "dog": "cat"}  # the wrong one for each


def raw_photos(folder: Path, per_class: int) -> tuple[Path, str]:
    """Real photos of the folder that CATSDOGS_PHOTOS names, else drawn ones, below `folder/raw/<class>`; and which."""
    raw, named = folder / "raw", os.environ.get("CATSDOGS_PHOTOS")
    archive = Path(named, ARCHIVE) if named else None
    if archive is None or not archive.exists():
        _draw(raw, folder / "drawn", per_class)
        return raw, "drawn"
    taken = dict.fromkeys(LABELS, 0)
    with zipfile.ZipFile(archive) as photos:
        for name in sorted(photos.namelist()):
            label = Path(name).parent.name.lower()
            if name.lower().endswith(".jpg") and taken.get(label, per_class) < per_class:
                taken[label] += 1
                path = raw / label / Path(name).name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(photos.read(name))
    return raw, "real"


def _draw(raw: Path, drawn: Path, per_class: int) -> None:
    """Without the faults that `sample` plants: the client sends these photos, and each of its answers counts."""
    sample(SampleSettings(output_dir=drawn, per_class=per_class))
    with (drawn / PLANTED).open(newline="", encoding="utf-8") as file:
        planted = {row["path"] for row in csv.DictReader(file)}
    for path in sorted(drawn.glob("*/*")):
        if path.relative_to(drawn).as_posix() not in planted:
            target = raw / path.parent.name.lower() / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def upload(store: Store, folder: Path, prefix: str, transfers: int = 16) -> int:
    """Every file below `folder` as an object below `prefix`; how many."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    with ThreadPoolExecutor(transfers) as pool:
        list(pool.map(lambda path: store.write(f"{prefix}{path.relative_to(folder)}", Content.file(path)), files))
    return len(files)


def wrong_labels(raw: Path) -> str:
    """A fixes.yaml that calls every cat a dog and every dog a cat."""
    labels = {sha256(path.read_bytes()): path.parent.name for path in sorted(raw.glob("*/*"))}
    return yaml.safe_dump([
        {"digest": digest, "action": "relabel", "label": LABELS[label], "who": "rehearsal",
         "why": "a mistake of somebody in a hurry"} for digest, label in labels.items() if label in LABELS
    ], sort_keys=False)
