"""model.onnx -> its card and the network, read and checked; nothing is compiled yet."""

from pathlib import Path
from typing import Any

from catsdogs.artifacts import CARD_KEY, INPUT_NAME, LOGITS_NAME, PROBABILITIES_NAME, ModelCard
from catsdogs.errors import CatsdogsError, ModelRefused
from catsdogs.files import sha256_file
from catsdogs.images import PREPARATION
from catsdogs.openvino_alone import openvino

REPAIR = "run `catsdogs package` again"


def open_model(path: Path) -> tuple[Any, ModelCard]:
    """Read and check `model.onnx`. Raises ModelRefused."""
    model = read_model(path)
    card = card_of(model, path)
    shapes = {name: port.get_partial_shape() for port in (*model.inputs, *model.outputs) for name in port.get_names()}
    if not {INPUT_NAME, LOGITS_NAME, PROBABILITIES_NAME} <= shapes.keys():
        raise ModelRefused(f"{path} has other inputs or outputs than this version serves: {REPAIR}.")
    side = card.image_size
    if shapes[INPUT_NAME] != openvino().PartialShape([-1, side, side, 3]):
        raise ModelRefused(f"{path} takes no photos of {side} x {side} pixels, which its card promises: {REPAIR}.")
    row = openvino().PartialShape([-1, len(card.classes)])
    if shapes[LOGITS_NAME] != row or shapes[PROBABILITIES_NAME] != row:
        raise ModelRefused(f"{path} names {len(card.classes)} classes but answers another number of them: {REPAIR}.")
    return model, card


def onnx_path(path: Path) -> Path:
    """The model.onnx that `path` names, or the one beside the model.pt. Raises ModelRefused."""
    if path.suffix not in (".pt", ".onnx"):
        raise ModelRefused(f"{str(path)!r} is no model file: name a model.pt or a model.onnx with --model-path.")
    found_at = path.with_suffix(".onnx")
    try:
        found = found_at.is_file()
    except OSError as error:
        raise ModelRefused(f"{found_at} cannot be read ({error.strerror}): name another --model-path.") from None
    if not found:
        raise ModelRefused(f"{found_at} does not exist: it is written by `catsdogs train`, or `catsdogs package`.")
    return found_at


def digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except FileNotFoundError:
        raise ModelRefused(
            f"{path} does not exist: run `catsdogs train`, or name the .onnx with --model-path."
        ) from None
    except OSError as error:
        raise ModelRefused(f"{path} cannot be read ({error.strerror}): name another --model-path.") from None


def read_model(path: Path) -> Any:
    try:
        return openvino().Core().read_model(path)
    except RuntimeError as error:
        reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), "")[:120]
        raise ModelRefused(f"{path} is no readable ONNX file ({reason}): {REPAIR}.") from None


def parsed(content: bytes) -> Any:
    """An ONNX file of our own making."""
    return openvino().Core().read_model(content)


def card_of(model: Any, path: Path) -> ModelCard:
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
