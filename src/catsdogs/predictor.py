"""model.onnx -> calibrated probabilities, and whether to rely on them. Imports no torch."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import thread_time
from typing import Any

import numpy as np

from catsdogs.artifacts import DISTANCE_NAME, EVIDENCE_NAME, LOGITS_NAME, PROBABILITIES_NAME, ModelCard
from catsdogs.compiled import Compiled, Floats
from catsdogs.doubt import Doubt, doubt
from catsdogs.errors import BadImage, ModelRefused
from catsdogs.images import MAX_PIXELS, Pixels, prepare
from catsdogs.log import event
from catsdogs.model_file import REPAIR, card_of, digest, onnx_path, open_model, read_model
from catsdogs.statistics import statistics
from catsdogs.usual import usual_of

GOLDEN_TOLERANCE = 0.02
"""Largest difference of a probability from torch's: room for bf16, none for another preparation or network."""

CLEARLY = 0.7
"""Of the usual time, or less: so that processes side by side come to the same choice."""

TIMED = 5  # answers


@dataclass(frozen=True)
class Prediction:
    label: str
    confidence: float
    probabilities: dict[str, float]
    doubt: Doubt | None = None
    version: str | None = None  # of the model


class Predictor:
    """A loaded model. Every method may be called from several threads at once."""

    def __init__(self, engine: Compiled, card: ModelCard) -> None:
        self.card = card
        self._engine = engine
        self._usual = usual_of(card)
        self.at_once = 1
        """Photos that whoever has several should give to `answers` at a time."""
        self.seconds: float | None = None
        """Of the processor, that the network takes for one photo, where it was measured."""

    def run(self, pixels: Pixels) -> tuple[Floats, Floats]:
        """uint8 [n, image_size, image_size, 3] -> (logits, probabilities), each float32 [n, classes]."""
        answer = self._engine.infer(pixels)
        return answer[LOGITS_NAME], answer[PROBABILITIES_NAME]

    def outputs(self, pixels: Pixels) -> dict[str, Floats]:
        """uint8 [n, image_size, image_size, 3] -> everything that the network answers, by name."""
        return self._engine.infer(pixels, evidence=True)

    def logits(self, pixels: Pixels) -> Floats:
        """uint8 [n, image_size, image_size, 3] -> float32 [n, classes], before the temperature."""
        return self.run(pixels)[0]

    def probabilities(self, pixels: Pixels) -> Floats:
        """uint8 [n, image_size, image_size, 3] -> float32 [n, classes], calibrated, rows summing to 1."""
        return self.run(pixels)[1]

    def prepare(self, data: bytes, max_pixels: int = MAX_PIXELS) -> Pixels:
        """An encoded photo -> uint8 [1, image_size, image_size, 3]. Raises BadImage."""
        return prepare(data, self.card.image_size, max_pixels)[None]

    def answer(self, pixels: Pixels) -> Prediction:
        """The prediction for one prepared photo, uint8 [1, image_size, image_size, 3]."""
        return self._predictions(pixels, self._engine.infer(pixels))[0]

    def answers(self, pixels: Sequence[Pixels]) -> list[Prediction]:
        """The predictions for prepared photos, each uint8 [1, image_size, image_size, 3]."""
        return [prediction for part, answer in self._engine.infer_together(pixels)
                for prediction in self._predictions(part, answer)]

    def takes_together(self) -> bool:
        """Make ready for several photos at once, in a tenth of a second; False where that is of no use."""
        return self._engine.takes_together()

    @property
    def explains(self) -> bool:
        """Whether the model says which places of a photo its answer is owed to; older ones do not."""
        return EVIDENCE_NAME in self._engine.outputs

    def explain(self, pixels: Pixels) -> tuple[Prediction, Floats]:
        """The prediction for one prepared photo, and what each place adds to it, float32 [height, width].

        Above 0 a place speaks for the label, below for the others: it is part of the label's logit less the mean of
        the other logits.
        """
        answer = self.outputs(pixels)
        (prediction,) = self._predictions(pixels, answer)
        evidence = answer[EVIDENCE_NAME][0]
        mine = self.card.classes.index(prediction.label)
        others = np.delete(evidence, mine, axis=0)
        return prediction, evidence[mine] - (others.mean(axis=0) if len(others) else 0)

    def _predictions(self, pixels: Pixels, answer: dict[str, Floats]) -> list[Prediction]:
        card = self.card
        distances: list[float] | list[None] = [None] * len(pixels)
        if self._usual is not None:
            apart = self._usual.distance(statistics(pixels))
            if DISTANCE_NAME in answer:
                apart = np.maximum(apart, answer[DISTANCE_NAME])  # keeps a NaN
            distances = apart.tolist()
        found = []
        for row, distance in zip(answer[PROBABILITIES_NAME].tolist(), distances, strict=True):
            confidence = max(row)
            why = doubt(confidence, distance, unsure_below=card.unsure_below,
                        unfamiliar_above=card.familiarity.threshold if card.familiarity else None)
            found.append(Prediction(card.classes[row.index(confidence)], confidence,
                                    dict(zip(card.classes, row, strict=True)), why, card.version))
        return found

    def predict(self, data: bytes) -> Prediction:
        """An encoded photo -> its prediction. Raises BadImage."""
        return self.answer(self.prepare(data))

    @property
    def is_exact(self) -> bool:
        """Whether it computes in float32."""
        return self._engine.is_exact

    @property
    def served_in(self) -> str:
        """The arithmetic that it computes in: float32, bfloat16, int8 or int7."""
        return self._engine.arithmetic

    def in_float32(self) -> "Predictor":
        return Predictor(self._engine.in_float32(), self.card)

    def choose(self) -> None:
        """Go on in float32 where that answers the golden photos too, and in clearly less time, by measurement."""
        if self.is_exact:
            return
        exact = self.in_float32()
        here, there = self.timed(), exact.timed()
        if there < CLEARLY * here and _refusal(exact) is None:
            event("served_in_float32", because=f"a photo takes {1e3 * there:.2f} ms instead of {1e3 * here:.2f}")
            self._engine, self.seconds = exact._engine, there

    def timed(self) -> float:
        """Measures `seconds`, the least of some and of what was measured before: others may want the processor now."""
        size = self.card.image_size
        pixels = np.zeros((1, size, size, 3), np.uint8)
        least = self.seconds or float("inf")
        for _ in range(TIMED + 1):
            started = thread_time()  # with one thread to use, the engine works in this one; others may be busy
            self._engine.infer(pixels)
            least = min(least, thread_time() - started)
        self.seconds = least
        return least

    def check_golden(self) -> None:
        """Raises ModelRefused unless every golden photo is answered as torch answered it."""
        for number, golden in enumerate(self.card.golden):
            try:
                answer = self.predict(base64.b64decode(golden.png_base64))
            except (BadImage, ValueError) as error:
                raise ModelRefused(f"Golden photo {number} is damaged ({error}): {REPAIR}.") from None
            if len(golden.probabilities) != len(self.card.classes):
                raise ModelRefused(f"Golden photo {number} has an answer for another number of classes: {REPAIR}.")
            answered = [answer.probabilities[label] for label in self.card.classes]
            worst = np.abs(np.subtract(answered, golden.probabilities)).max()
            if answer.label != golden.label or not worst <= GOLDEN_TOLERANCE:  # so that NaN is refused too
                raise ModelRefused(
                    f"Golden photo {number} is answered {answer.label!r} {answer.confidence:.3f}, expected "
                    f"{golden.label!r} {max(golden.probabilities):.3f}: {REPAIR}."
                )


def load_predictor(path: Path, *, threads: int = 1, exact: bool = False) -> Predictor:
    """Load `model.onnx`, or the one beside the `model.pt` that `path` names.

    `threads` bounds the threads of one inference. `exact` computes in float32 even where the processor has a
    faster, coarser way. Raises ModelRefused where the file is missing, damaged, not ours, or not made from that
    model.pt.
    """
    model, card = _opened(path)
    return Predictor(Compiled(model, card.arithmetic, threads, exact=exact), card)


def load_checked(path: Path) -> Predictor:
    """Load `model.onnx` for serving, once it has answered its golden photos, in the arithmetic that is faster here.

    Raises ModelRefused as `load_right` does.
    """
    predictor = load_right(path)
    predictor.choose()
    return predictor


def load_right(path: Path) -> Predictor:
    """The same before another arithmetic is compared, which takes a fifth of a second: what answers first.

    In float32 where the processor's integers are not exact, and where its coarser arithmetic answers a golden photo
    otherwise, as it does for networks that were hardly trained. Raises ModelRefused where float32 does not agree
    either, or there is nothing to check.
    """
    model, card = _opened(path)
    if not card.golden:
        raise ModelRefused(f"{path} holds no golden photos to check it with: train again.")
    predictor = Predictor(Compiled(model, card.arithmetic), card)
    refused = _refusal(predictor)
    if refused is not None:
        if predictor.is_exact:
            raise refused
        predictor = predictor.in_float32()
        predictor.check_golden()
        event("served_in_float32", because=str(refused))
    elif predictor.is_exact and card.arithmetic != "float":
        event("served_in_float32", because="this processor's sums of 8-bit integers overflow")
    predictor.timed()
    return predictor


def _refusal(predictor: Predictor) -> ModelRefused | None:
    try:
        predictor.check_golden()
    except ModelRefused as refused:
        return refused
    return None


def _opened(path: Path) -> tuple[Any, ModelCard]:
    found = onnx_path(path)
    model, card = open_model(found)
    if path.suffix == ".pt" and digest(path) != card.model_digest:
        raise ModelRefused(f"{found} was not made from {path}: {REPAIR}.")
    return model, card


def read_card(path: Path) -> ModelCard:
    """The card of `model.onnx`, without compiling the network. Raises ModelRefused."""
    found = onnx_path(path)
    return card_of(read_model(found), found)
