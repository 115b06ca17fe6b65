"""model.pt -> model.onnx: the network with its preparation, names, temperature and golden photos in one file."""

import base64
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torch.jit._trace import TracerWarning

from catsdogs.artifacts import (
    CARD_KEY,
    DISTANCE_NAME,
    EVIDENCE_NAME,
    INPUT_NAME,
    LOGITS_NAME,
    PROBABILITIES_NAME,
    Familiarity,
    Golden,
    ModelCard,
)
from catsdogs.errors import CatsdogsError
from catsdogs.familiarity import Distance, fit_familiarity
from catsdogs.files import PARTIAL, sha256_file
from catsdogs.images import PREPARATION, encode
from catsdogs.nets.network import Network, at_once
from catsdogs.nets.quantised import Quantised, served as answering
from catsdogs.packed import Packed
from catsdogs.predictor import GOLDEN_TOLERANCE, load_predictor
from catsdogs.weights import WeightsCard, load_weights

TOLERANCE = 1e-3
"""Largest difference of a logit between torch and the engine, both in float32."""

INTEGER_TOLERANCE = 0.05
"""The same for a network in integers, where a rounding error may move an activation by a whole step: seen 0.01."""

GOLDEN_PER_CLASS = 4
GOLDEN_IN_ALL = 16
CLEAR = 2 * GOLDEN_TOLERANCE
"""Lead of the first class over the second from which on an answer within the tolerance names the same class."""

BATCH = 32


class Served(nn.Module):
    """What the server runs: pixels -> logits, probabilities after the temperature (Guo et al. 2017), evidence.

    With `distance` also that of the features from those of the training.
    """

    def __init__(self, network: Network, temperature: float, distance: Distance | None = None) -> None:
        super().__init__()
        self.network, self.temperature, self.distance = network, temperature, distance
        self.outputs = [LOGITS_NAME, PROBABILITIES_NAME, EVIDENCE_NAME]
        if distance is not None:
            self.outputs.append(DISTANCE_NAME)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        maps = self.network.maps(pixels)
        logits = self.network.head(self.network.pooled(maps))
        answers = logits, torch.softmax(logits / self.temperature, dim=1), self.network.evidence(maps)
        return answers if self.distance is None else (*answers, self.distance(maps))


def export(
    model_path: Path, photos: Packed, *, seen: Packed | None = None, check_on: int = 200
) -> tuple[Path, float]:
    """Write model.onnx beside `model_path`; returns its path and the largest difference seen.

    `photos` are of the validation split; the first of them become golden, up to `check_on` evenly spread ones are
    compared. From `seen`, the training split, the model learns what is familiar. Raises
    CatsdogsError, and writes nothing, where torch and the engine differ by more than their TOLERANCE.
    """
    network, card = load_weights(model_path)
    network = answering(network)
    distance, familiarity = (seen and fit_familiarity(network, seen, photos)) or (None, None)
    served = Served(network, card.temperature, distance).eval()
    target = model_path.with_suffix(".onnx")
    partial = target.with_name(f"{target.stem}{PARTIAL}.onnx")
    try:
        partial.write_bytes(_onnx(served, _model_card(model_path, card, served, photos, familiarity)))
        worst = _largest_difference(served, partial, _spread(photos, check_on))
        tolerance = INTEGER_TOLERANCE if isinstance(network, Quantised) else TOLERANCE
        if not worst <= tolerance:  # neither is NaN
            raise CatsdogsError(f"torch and the engine differ by {worst:.4f}, more than {tolerance}: not exported.")
        load_predictor(partial, exact=True).check_golden()
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target, worst


def _onnx(served: Served, card: ModelCard) -> bytes:
    example = torch.zeros(1, card.image_size, card.image_size, 3, dtype=torch.uint8)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter takes 5 s instead of 0.3, writes a second file and needs another package. torch is
        # pinned, so the older one's removal cannot surprise us.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Paddings follow the size of the photo, and a model takes one size only.
        warnings.simplefilter("ignore", TracerWarning)
        torch.onnx.export(
            served, (example,), buffer, dynamo=False,
            input_names=[INPUT_NAME], output_names=served.outputs,
            dynamic_axes={name: {0: "n"} for name in (INPUT_NAME, *served.outputs)},
        )
    model = onnx.load_model_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, {CARD_KEY: card.model_dump_json()})
    content: bytes = model.SerializeToString()
    return content


def _model_card(
    model_path: Path, card: WeightsCard, served: Served, photos: Packed, familiarity: Familiarity | None
) -> ModelCard:
    return ModelCard(
        variant=card.variant,
        classes=card.classes,
        image_size=card.image_size,
        preparation=PREPARATION,
        temperature=card.temperature,
        arithmetic="int8" if isinstance(served.network, Quantised) else "float",
        unsure_below=card.unsure_below,
        familiarity=familiarity,
        model_digest=sha256_file(model_path),
        metrics=card.metrics,
        golden=_golden(card.classes, served, photos),
        lineage=card.lineage,
    )


def _golden(classes: list[str], served: Served, photos: Packed) -> list[Golden]:
    """The first photos of each class that are answered clearly; the clearest one where none is.

    An answer on the fence may fall to the other side at a coarser precision, and a sound model would be refused.
    """
    per_class = max(1, min(GOLDEN_PER_CLASS, GOLDEN_IN_ALL // len(classes)))
    answered = []
    for number in range(len(classes)):
        places = np.flatnonzero(photos.labels == number)[:BATCH]
        with torch.inference_mode():
            probabilities = np.concatenate([served(torch.from_numpy(pixels))[1].numpy()
                                            for pixels in _batches(photos, places)])
        if not np.isfinite(probabilities).all():
            raise CatsdogsError("The network answers with what is no number: train again with a lower --learning-rate.")
        ranked = np.sort(probabilities, axis=1)
        leads = ranked[:, -1] - ranked[:, -2]
        clear_first = np.argsort(-leads.clip(max=CLEAR), kind="stable")
        answered += [(leads[i], places[i], probabilities[i]) for i in clear_first[:per_class]]
    clear = [row for row in answered if row[0] >= CLEAR] or [max(answered, key=lambda row: row[0])]
    return [
        Golden(
            png_base64=base64.b64encode(encode(photos.pixels[place])).decode("ascii"),
            label=classes[int(probabilities.argmax())],
            truth=classes[photos.labels[place]],
            probabilities=probabilities.tolist(),
        )
        for _, place, probabilities in clear[:GOLDEN_IN_ALL]
    ]


def _spread(photos: Packed, count: int) -> Iterator[np.ndarray]:
    """Batches of up to `count` photos, evenly over the split: its rows are sorted by class."""
    places = np.unique(np.linspace(0, len(photos.labels) - 1, count).astype(int))
    yield from _batches(photos, places)


def _batches(photos: Packed, places: np.ndarray) -> Iterator[np.ndarray]:
    """These photos, as many at a time as memory is for."""
    batch = at_once(photos.pixels.shape[1], BATCH)
    for start in range(0, len(places), batch):
        yield np.array(photos.pixels[places[start:start + batch]])


def _largest_difference(served: Served, path: Path, batches: Iterator[np.ndarray]) -> float:
    engine = load_predictor(path, exact=True)
    worst = 0.0
    for pixels in batches:
        with torch.inference_mode():
            mine = served(torch.from_numpy(pixels))
        theirs = engine.outputs(pixels)
        for ours, name in zip(mine, served.outputs, strict=True):
            mine_here, there = ours.numpy(), theirs[name]
            if name == EVIDENCE_NAME and isinstance(served.network, Quantised):
                # Where a maximum lies may change with a step; what it adds up to may not.
                mine_here, there = mine_here.sum(axis=(2, 3)), there.sum(axis=(2, 3))
            worst = float(np.maximum(worst, np.abs(mine_here - there).max()))  # unlike max, keeps a NaN
    return worst
