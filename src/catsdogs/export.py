"""model.pt -> model.onnx: the network with its preparation, names, temperature and golden photos in one file."""

import base64
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from catsdogs.answering import Answering, arithmetic
from catsdogs.artifacts import (
    CARD_KEY,
    DISTANCE_NAME,
    EVIDENCE_NAME,
    LOGITS_NAME,
    PROBABILITIES_NAME,
    Familiarity,
    Golden,
    ModelCard,
)
from catsdogs.errors import CatsdogsError
from catsdogs.familiarity import Distance, enough, fit_familiarity
from catsdogs.figures import softmax
from catsdogs.files import PARTIAL, sha256_file
from catsdogs.images import PREPARATION, encode
from catsdogs.nets.network import Network, at_once
from catsdogs.nets.quantised.network import Quantised
from catsdogs.nets.quantised.served import served as as_served
from catsdogs.packed import Packed
from catsdogs.predictor import GOLDEN_TOLERANCE, load_predictor
from catsdogs.traced import traced
from catsdogs.weights import WeightsCard, load_weights

TOLERANCE = 1e-3
"""Largest difference of a logit between torch and the engine, both in float32."""

INTEGER_TOLERANCE, INTEGER_MOST = 0.05, 0.5
"""The same for a network in integers: of the mean over the photos, and of any, in units of an output's own deviation
where that is more than 1. A rounding error may move an activation by a whole step, and that the next ones: of two
classes the mean was 0.002 with 10 activations (a larger `fast`) and 0.023 with 48, the largest 0.16."""

CHECK_ON = 64
"""Photos: a network that is wrong in the engine is wrong about all of them, and torch takes long."""

GOLDEN_PER_CLASS = 4
GOLDEN_IN_ALL = 16
CLEAR = 2 * GOLDEN_TOLERANCE
"""Lead of the first class over the second from which on an answer within the tolerance names the same class."""

CANDIDATES = 16
"""Photos of a class among which those that become golden are looked for."""

SURE = 0.9
"""Lead at which golden photos tell most: further down, what another processor rounds otherwise may move the answer by
more than the tolerance; further up, even another preparation may not."""


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
        features = self.network.pooled(maps)
        logits = self.network.head(features)
        answers = logits, torch.softmax(logits / self.temperature, dim=1), self.network.evidence(maps)
        return answers if self.distance is None else (*answers, self.distance(features))


def export(
    model_path: Path, photos: Packed, *, seen: Packed | None = None, check_on: int = CHECK_ON,
    answering: Answering | None = None,
) -> tuple[Path, float]:
    """Write model.onnx beside `model_path`; returns its path and the difference seen.

    `photos` are of the validation split; the first of them become golden, up to `check_on` evenly spread ones are
    compared. From `seen`, the training split, the model learns what is familiar; `answering` is an engine for the
    network that there may be already.
    Raises CatsdogsError, and writes nothing, where torch and the engine differ by more than their TOLERANCE.
    """
    network, card = load_weights(model_path)
    network = as_served(network)
    answering = answering or Answering(network, card.image_size)
    distance = familiarity = None
    if seen is not None and enough(seen, photos):
        distance, familiarity = fit_familiarity(network, answering, seen, photos)
    served = Served(network, card.temperature, distance).eval()
    target = model_path.with_suffix(".onnx")
    partial = target.with_name(f"{target.stem}{PARTIAL}.onnx")
    try:
        partial.write_bytes(_onnx(served, _model_card(
            model_path, card, served, _golden(card, served, answering, photos), familiarity)))
        worst = _difference(served, partial, _spread(photos, check_on))
        tolerance = INTEGER_TOLERANCE if isinstance(network, Quantised) else TOLERANCE
        if not worst <= tolerance:  # neither is NaN
            raise CatsdogsError(f"torch and the engine differ by {worst:.4f}, more than {tolerance}: not exported.")
        load_predictor(partial, exact=True).check_golden()
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target, worst


def _onnx(served: Served, card: ModelCard) -> bytes:
    model = onnx.load_model_from_string(traced(served, card.image_size, served.outputs))
    onnx.helper.set_model_props(model, {CARD_KEY: card.model_dump_json()})
    content: bytes = model.SerializeToString()
    return content


def _model_card(
    model_path: Path, card: WeightsCard, served: Served, golden: list[Golden], familiarity: Familiarity | None
) -> ModelCard:
    return ModelCard(
        variant=card.variant,
        classes=card.classes,
        image_size=card.image_size,
        preparation=PREPARATION,
        temperature=card.temperature,
        arithmetic=arithmetic(served.network),
        unsure_below=card.unsure_below,
        familiarity=familiarity,
        model_digest=sha256_file(model_path),
        metrics=card.metrics,
        golden=golden,
        lineage=card.lineage,
    )


def _golden(card: WeightsCard, served: Served, answering: Answering, photos: Packed) -> list[Golden]:
    """Of the first photos of each class those that tell most; the one with the largest lead where none is clear.

    An answer on the fence may fall to the other side at a coarser precision, and a sound model would be refused. So it
    would be for an answer of a network in integers that already the engine of this machine rounds otherwise.
    """
    per_class = max(1, min(GOLDEN_PER_CLASS, GOLDEN_IN_ALL // len(card.classes)))
    answered = []
    for number in range(len(card.classes)):
        places = np.flatnonzero(photos.labels == number)[:CANDIDATES]
        with torch.inference_mode():
            probabilities = np.concatenate([served(torch.from_numpy(pixels))[1].numpy()
                                            for pixels in _batches(photos, places)])
        if not np.isfinite(probabilities).all():
            raise CatsdogsError("The network answers with what is no number: train again with a lower --learning-rate.")
        ranked = np.sort(probabilities, axis=1)
        leads = ranked[:, -1] - ranked[:, -2]
        theirs = softmax(answering.about(photos.pixels, places).logits / card.temperature)
        steady = np.abs(probabilities - theirs).max(axis=1) <= GOLDEN_TOLERANCE / 4
        steady |= not isinstance(served.network, Quantised)
        best_first = np.lexsort((np.abs(leads - SURE), leads < SURE, ~steady))
        answered += [(leads[i], bool(steady[i]), places[i], probabilities[i]) for i in best_first[:per_class]]
    clear = [row for row in answered if row[0] >= CLEAR and row[1]] or [max(answered, key=lambda row: (row[1], row[0]))]
    return [
        Golden(
            png_base64=base64.b64encode(encode(photos.pixels[place])).decode("ascii"),
            label=card.classes[int(probabilities.argmax())],
            truth=card.classes[photos.labels[place]],
            probabilities=probabilities.tolist(),
        )
        for _, _, place, probabilities in clear[:GOLDEN_IN_ALL]
    ]


def _spread(photos: Packed, count: int) -> Iterator[np.ndarray]:
    """Batches of up to `count` photos, evenly over the split: its rows are sorted by class."""
    places = np.unique(np.linspace(0, len(photos.labels) - 1, count).astype(int))
    yield from _batches(photos, places)


def _batches(photos: Packed, places: np.ndarray) -> Iterator[np.ndarray]:
    """These photos, as many at a time as memory is for."""
    batch = at_once(photos.pixels.shape[1])
    for start in range(0, len(places), batch):
        yield np.array(photos.pixels[places[start:start + batch]])


def _difference(served: Served, path: Path, batches: Iterator[np.ndarray]) -> float:
    """The largest of any output; of a network in integers the mean over the photos of each photo's largest, or infinity
    where one photo's is more than INTEGER_MOST."""
    engine, integers = load_predictor(path, exact=True), isinstance(served.network, Quantised)
    apart: dict[str, list[np.ndarray]] = {name: [] for name in served.outputs}
    answered: dict[str, list[np.ndarray]] = {name: [] for name in served.outputs}
    for pixels in batches:
        with torch.inference_mode():
            mine = served(torch.from_numpy(pixels))
        theirs = engine.outputs(pixels)
        for ours, name in zip(mine, served.outputs, strict=True):
            here, there = ours.numpy(), theirs[name]
            if name == EVIDENCE_NAME and integers:
                # Where a maximum lies may change with a step; what it adds up to may not.
                here, there = here.sum(axis=(2, 3)), there.sum(axis=(2, 3))
            apart[name].append(np.abs(here - there).reshape(len(pixels), -1).max(axis=1))
            answered[name].append(here.reshape(len(pixels), -1))
    if not integers:
        return float(np.max([np.concatenate(parts).max() for parts in apart.values()]))  # NaN if any is
    scaled = [np.concatenate(apart[name]) / max(1.0, float(np.concatenate(answered[name]).std()))
              for name in served.outputs]
    # numpy's: Python's own maximum may lose a NaN
    if not np.max([one.max() for one in scaled]) <= INTEGER_MOST:
        return math.inf
    return float(np.max([one.mean() for one in scaled]))
