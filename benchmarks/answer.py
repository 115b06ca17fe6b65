"""What one answer costs in one thread, part by part, and what answering in integers costs and gains.

    python benchmarks/answer.py --model models/model.pt --data-dir data/processed --photos photos.zip

`--model` are networks that were trained for integers, `--data-dir` what each was trained on. Writes
benchmarks/ANSWER.md, or --output.
"""

import argparse
import statistics
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image
from run import processor

from catsdogs.model_file import onnx_path
from catsdogs.export import export
from catsdogs.images import Pixels, opened, square, upright_rgb
from catsdogs.machine import give_back_large_memory
from catsdogs.nets.quantised.network import STEPS
from catsdogs.packed import Packed, PackedPhotos, open_packed
from catsdogs.predictor import Predictor, load_checked, load_predictor
from catsdogs.statistics import statistics as of_pixels
from catsdogs.weights import load_weights, save_weights

SUMMARY = Path(__file__).parent / "ANSWER.md"
PHOTOS, ROUNDS = 200, 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, nargs="+", required=True, help="model.pt, with its model.onnx beside it")
    parser.add_argument("--data-dir", type=Path, nargs="+", required=True, help="of `catsdogs preprocess`, one a model")
    parser.add_argument("--photos", type=Path, required=True, help="zip of photos as users send them")
    parser.add_argument("--output", type=Path, default=SUMMARY)
    arguments = parser.parse_args()
    give_back_large_memory()  # as the service does
    with zipfile.ZipFile(arguments.photos) as archive:
        names = [name for name in sorted(archive.namelist()) if name.lower().endswith((".jpg", ".jpeg"))]
        photos = [archive.read(name) for name in names[::max(1, len(names) // PHOTOS)][:PHOTOS]]
    lines = ["# What an answer costs", "", f"`python benchmarks/answer.py`, {date.today()}, {processor()}, one thread."]
    for model, data_dir in zip(arguments.model, arguments.data_dir, strict=True):
        lines += ["", *_of(model, open_packed(data_dir), photos, arguments.photos.name)]
    arguments.output.write_text("\n".join(lines) + "\n")
    print(arguments.output.read_text())


def _of(model: Path, packed: PackedPhotos, photos: list[bytes], name: str) -> list[str]:
    served = load_checked(onnx_path(model))
    _, card = load_weights(model)
    with tempfile.TemporaryDirectory() as folder:
        floats = _in_floats(model, Path(folder), packed.train, packed.val)
        coarse, exact = load_predictor(floats), load_predictor(floats, exact=True)
        return [
            f"## `{served.card.variant}` at {served.card.image_size} px", "",
            f"Model {served.card.version}; {card.metrics['test_accuracy']:.2%} of the test photos.", "",
            *_parts(served, photos, name), "",
            *_arithmetics({f"as served: {served.served_in}": served, "floats, as the engine chooses": coarse,
                           "float32": exact}, packed.val)]


def _in_floats(model: Path, folder: Path, train: Packed, val: Packed) -> Path:
    """The same weights, exported without the steps that rounding needs."""
    network, card = load_weights(model)
    plain = {name: value for name, value in card.description.items() if name != STEPS}
    save_weights(folder / "model.pt", network, card.model_copy(update={"description": plain}))
    path, _ = export(folder / "model.pt", val, seen=train)
    return path


def _parts(predictor: Predictor, photos: list[bytes], name: str) -> list[str]:
    side = predictor.card.image_size

    def decoded(photo: bytes) -> Image.Image:
        with opened(photo) as image:
            image.draft("RGB", (side, side))
            return upright_rgb(image)

    images, pixels = [decoded(photo) for photo in photos], [predictor.prepare(photo) for photo in photos]
    times = {
        "reading the header, decoding": _microseconds(decoded, photos),
        "resizing": _microseconds(lambda image: square(image, side), images),
        "the network": _microseconds(predictor.run, pixels),
        "statistics of the pixels": _microseconds(of_pixels, pixels),
        "**all, with the answer's doubts**": _microseconds(predictor.predict, photos),
    }
    return [f"{len(photos)} photos of {name}; medians of {ROUNDS} rounds.", "",
            "| part | us a photo |", "| --- | --- |",
            *(f"| {part} | {time:.0f} |" for part, time in times.items())]


def _microseconds(work: Callable[[Any], Any], inputs: Iterable[Any]) -> float:
    inputs = list(inputs)
    rounds = []
    for _ in range(ROUNDS):
        started = perf_counter()
        for one in inputs:
            work(one)
        rounds.append(1e6 * (perf_counter() - started) / len(inputs))
    return statistics.median(rounds)


def _arithmetics(predictors: dict[str, Predictor], val: Packed) -> list[str]:
    reference = _probabilities(list(predictors.values())[-1], val.pixels)
    rows = []
    for name, predictor in predictors.items():
        found = _probabilities(predictor, val.pixels)
        apart = np.abs(found - reference)
        right = int((found.argmax(1) == val.labels).sum())
        loss = -float(np.log(found[np.arange(len(found)), val.labels]).mean())
        photos = [np.array(one)[None] for one in val.pixels[:PHOTOS]]
        rows.append(f"| {name} | {_microseconds(predictor.run, photos):.0f} | {right} | {loss:.4f} | "
                    f"{apart.mean():.4f} | {apart.max():.3f} |")
    return [f"The same weights on {len(val.labels):,} validation photos, and how far probabilities lie from float32's.",
            "", "| arithmetic | us a photo | right | log-loss | apart, on average | at most |",
            "| --- | --- | --- | --- | --- | --- |", *rows]


def _probabilities(predictor: Predictor, pixels: Pixels) -> np.ndarray:
    return np.concatenate([predictor.probabilities(np.array(pixels[start:start + 1]))
                           for start in range(len(pixels))])


if __name__ == "__main__":
    main()
