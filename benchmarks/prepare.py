"""What `make bench-serving` serves and sends: photos of a zip, models trained on it, and torch's own answers."""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import torch

from catsdogs.images import prepare
from catsdogs.weights import load_weights

SIDES = {"baseline": 224, "fast": 128}
COUNT = 200


def photos_of(source: Path, folder: Path) -> list[Path]:
    """COUNT photos of the zip, evenly over it, as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(source) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))
        chosen = names[::max(1, len(names) // COUNT)][:COUNT]
        for number, name in enumerate(chosen):
            (folder / f"{number:03d}.jpg").write_bytes(archive.read(name))
    return sorted(folder.glob("*.jpg"))


def trained(source: Path, variant: str, work: Path) -> Path:
    """A model of one epoch on the zip's photos, kept in `work`: for speed and parity, not for its accuracy."""
    model = work / variant / "model.pt"
    if not (model.exists() and model.with_suffix(".onnx").exists()):
        side = SIDES[variant]
        processed = work / f"processed-{side}"
        _catsdogs("ingest", "--zip-path", source, "--output-dir", work / "ingested")
        _catsdogs("preprocess", "--input-dir", work / "ingested", "--output-dir", processed, "--image-size", side)
        _catsdogs("train", "--data-dir", processed, "--model-variant", variant, "--epochs", 1, "--output-model", model,
                  "--artifact-dir", work / variant, "--mlflow-tracking-uri", "none")
    return model


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
