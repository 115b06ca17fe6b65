"""model.onnx -> calibrated probabilities, on OpenVINO. Imports no torch."""

import base64
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from catsdogs.artifacts import CARD_KEY, INPUT_NAME, LOGITS_NAME, PROBABILITIES_NAME, ModelCard
from catsdogs.errors import BadImage, CatsdogsError, ModelRefused
from catsdogs.files import sha256_file
from catsdogs.images import MAX_PIXELS, PREPARATION, Pixels, prepare

GOLDEN_TOLERANCE = 0.02
"""Largest difference of a probability from torch's: room for bf16, none for another preparation or network."""

REPAIR = "run `catsdogs package` again"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Prediction:
    label: str
    confidence: float
    probabilities: dict[str, float]


class Predictor:
    """A loaded model. Every method may be called from several threads at once."""

    def __init__(self, compiled: Any, card: ModelCard) -> None:
        self.card = card
        self._compiled = compiled
        self._local = threading.local()

    def run(self, pixels: Pixels) -> tuple[Floats, Floats]:
        """uint8 [n, image_size, image_size, 3] -> (logits, probabilities), each float32 [n, classes]."""
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        answer = request.infer({INPUT_NAME: pixels})
        return np.array(answer[LOGITS_NAME]), np.array(answer[PROBABILITIES_NAME])

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
        row = self.probabilities(pixels)[0]
        best = int(row.argmax())
        named = {label: float(value) for label, value in zip(self.card.classes, row, strict=True)}
        return Prediction(self.card.classes[best], float(row[best]), named)

    def predict(self, data: bytes) -> Prediction:
        """An encoded photo -> its prediction. Raises BadImage."""
        return self.answer(self.prepare(data))

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
    onnx_path = _onnx_path(path)
    compiled, card = _compile(onnx_path, threads, exact)
    if path.suffix == ".pt" and _digest(path) != card.model_digest:
        raise ModelRefused(f"{onnx_path} was not made from {path}: {REPAIR}.")
    return Predictor(compiled, card)


def read_card(path: Path) -> ModelCard:
    """The card of `model.onnx`, without compiling the network. Raises ModelRefused."""
    onnx_path = _onnx_path(path)
    return _card(_read(onnx_path), onnx_path)


def _onnx_path(path: Path) -> Path:
    if path.suffix not in (".pt", ".onnx"):
        raise ModelRefused(f"{str(path)!r} is no model file: name a model.pt or a model.onnx with --model-path.")
    onnx_path = path.with_suffix(".onnx")
    try:
        found = onnx_path.is_file()
    except OSError as error:
        raise ModelRefused(f"{onnx_path} cannot be read ({error.strerror}): name another --model-path.") from None
    if not found:
        raise ModelRefused(f"{onnx_path} does not exist: it is written by `catsdogs train`, or `catsdogs package`.")
    return onnx_path


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except FileNotFoundError:
        raise ModelRefused(
            f"{path} does not exist: run `catsdogs train`, or name the .onnx with --model-path."
        ) from None
    except OSError as error:
        raise ModelRefused(f"{path} cannot be read ({error.strerror}): name another --model-path.") from None


def _read(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openvino warns about its own deprecated parts
        import openvino

    try:
        return openvino.Core().read_model(path)
    except RuntimeError as error:
        reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), "")[:120]
        raise ModelRefused(f"{path} is no readable ONNX file ({reason}): {REPAIR}.") from None


def _card(model: Any, path: Path) -> ModelCard:
    try:
        text = model.get_rt_info(["framework", CARD_KEY]).astype(str)
    except RuntimeError:
        raise ModelRefused(f"{path} holds no model card of catsdogs: make it with `catsdogs package`.") from None
    try:
        card = ModelCard.parse(text, f"The model card of {path}", "`catsdogs package`")
    except CatsdogsError as error:
        raise ModelRefused(str(error)) from None
    if card.preparation != PREPARATION:
        raise ModelRefused(
            f"{path} expects photos prepared as {card.preparation!r}, this version prepares as {PREPARATION!r}: "
            "train again."
        )
    return card


def _compile(path: Path, threads: int, exact: bool) -> tuple[Any, ModelCard]:
    model = _read(path)
    card = _card(model, path)
    import openvino

    shapes = {name: port.get_partial_shape() for port in (*model.inputs, *model.outputs) for name in port.get_names()}
    if not {INPUT_NAME, LOGITS_NAME, PROBABILITIES_NAME} <= shapes.keys():
        raise ModelRefused(f"{path} has other inputs or outputs than this version serves: {REPAIR}.")
    side = card.image_size
    if shapes[INPUT_NAME] != openvino.PartialShape([-1, side, side, 3]):
        raise ModelRefused(f"{path} takes no photos of {side} x {side} pixels, which its card promises: {REPAIR}.")
    row = openvino.PartialShape([-1, len(card.classes)])
    if shapes[LOGITS_NAME] != row or shapes[PROBABILITIES_NAME] != row:
        raise ModelRefused(f"{path} names {len(card.classes)} classes but answers another number of them: {REPAIR}.")
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # pinned, two processes share one core: 305 instead of 589 requests/s
    }
    if exact:
        options["INFERENCE_PRECISION_HINT"] = "f32"
    return openvino.Core().compile_model(model, "CPU", options), card
