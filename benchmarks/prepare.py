"""What `make bench-serving` serves and sends: photos, models trained on it, and torch's own answers."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TypeVar

import torch

from catsdogs.errors import BadImage
from catsdogs.export import export
from catsdogs.images import prepare
from catsdogs.packed import open_packed
from catsdogs.predictor import read_card
from catsdogs.provenance import code_digest
from catsdogs.weights import load_weights, save_weights

SIDES = {"baseline": 224, "fast": 112}
COUNT = 200


def drawn(work: Path) -> Path:
    """A folder of drawn photos, for who has no real ones at hand."""
    folder = work / "drawn"
    if not folder.exists():
        _catsdogs("sample", "--output-dir", folder, "--per-class", 300)
    return folder


def photos_of(source: Path, folder: Path) -> list[Path]:
    """COUNT photos of the zip or folder, evenly over it, as they are."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if source.is_dir():
        sound = [path for path in source.rglob("*.jpg") if _opens(path.read_bytes())]
        for number, path in enumerate(_evenly(sorted(sound))):
            shutil.copyfile(path, folder / f"{number:03d}.jpg")
    else:
        with zipfile.ZipFile(source) as archive:
            names = (name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))
            sound_names = sorted(name for name in names if _opens(archive.read(name)))
            for number, name in enumerate(_evenly(sound_names)):
                (folder / f"{number:03d}.jpg").write_bytes(archive.read(name))
    return sorted(folder.glob("*.jpg"))


def _opens(photo: bytes) -> bool:
    """Sets hold broken photos, Microsoft's too; here every answer must be 200."""
    try:
        prepare(photo, SIDES["baseline"])
    except BadImage:
        return False
    return True


T = TypeVar("T")


def _evenly(things: list[T]) -> list[T]:
    return things[::max(1, len(things) // COUNT)][:COUNT]


def trained(source: Path, variant: str, work: Path) -> Path:
    """A model of one epoch on these photos, kept in `work`: for speed and parity, not for its accuracy."""
    model = work / f"{variant}-{code_digest()[:8]}" / "model.pt"
    if not (model.exists() and model.with_suffix(".onnx").exists()):
        side = SIDES[variant]
        processed = work / f"processed-{side}"
        kind = "--zip-path" if source.is_file() else "--source-dir"
        _catsdogs("ingest", kind, source, "--output-dir", work / "ingested")
        _catsdogs("preprocess", "--input-dir", work / "ingested", "--output-dir", processed, "--image-size", side)
        _catsdogs("train", "--data-dir", processed, "--model-variant", variant, "--epochs", 1, "--output-model", model,
                  "--artifact-dir", model.parent, "--mlflow-tracking-uri", "none")
    return model


def in_floats(model: Path, work: Path) -> Path:
    """The same weights as model.pt with a model.onnx in floats, which another server can take as it is."""
    copy = work / f"floats-{hashlib.sha256(model.read_bytes()).hexdigest()[:16]}" / "model.pt"
    if not copy.with_suffix(".onnx").exists():
        network, card = load_weights(model)
        copy.parent.mkdir(exist_ok=True)
        save_weights(copy, network, card.model_copy(update={"description": {}}))
        export(copy, open_packed(work / f"processed-{card.image_size}").val)
    return copy


def arithmetic_of(model: Path) -> str:
    """`int8` or `float`."""
    return read_card(model.with_suffix(".onnx")).arithmetic


def side_of(model: Path) -> int:
    _, card = load_weights(model)
    return card.image_size


def _catsdogs(*arguments: object) -> None:
    print("$ catsdogs", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "catsdogs", *map(str, arguments)], check=True)


def answered_by_torch(model: Path, photos: list[bytes], work: Path) -> tuple[list[str], list[list[float]]]:
    """The classes, and their calibrated probabilities for each photo, in float32 by the network of model.pt.

    Kept in `work` for the same model and photos.
    """
    digest = hashlib.sha256(b"".join([model.read_bytes(), *photos])).hexdigest()[:16]
    kept = work / f"answers-{digest}.json"
    network, card = load_weights(model)
    if kept.exists():
        return card.classes, json.loads(kept.read_text())
    torch.set_num_threads(1)  # two wait for each other where other work takes a core: ten times slower
    rows = []
    with torch.inference_mode():
        for photo in photos:
            pixels = torch.from_numpy(prepare(photo, card.image_size).copy())[None]
            rows.append(torch.softmax(network(pixels) / card.temperature, dim=1)[0].tolist())
    kept.write_text(json.dumps(rows))
    return card.classes, rows


def accuracy(model: Path) -> str:
    """What training measured on its test photos."""
    _, card = load_weights(model)
    said = {name: card.metrics[name] for name in sorted(card.metrics) if "accuracy" in name}
    return json.dumps(said)
