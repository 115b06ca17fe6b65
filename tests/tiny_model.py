"""A real model of 3 kB in a millisecond, without torch: reddish photos are cats, bluish ones dogs."""

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from catsdogs.artifacts import CARD_KEY, INPUT_NAME, LOGITS_NAME, PROBABILITIES_NAME, Golden, Lineage, ModelCard
from catsdogs.files import sha256
from catsdogs.images import PREPARATION, Pixels, encode

SIZE = 8
CLASSES = ["cat", "dog"]
TEMPERATURE = 2.0
WEIGHTS = np.array([[0.02, -0.02], [0, 0], [-0.02, 0.02]], np.float32)  # red, green, blue -> cat, dog


def colour_photo(label: int, seed: int = 0) -> Pixels:
    """uint8 [8, 8, 3]: noise, brighter in red for class 0 and in blue for class 1."""
    pixels = np.random.default_rng(seed).integers(0, 150, (SIZE, SIZE, 3))
    pixels[:, :, 2 * label] += 100
    return pixels.astype(np.uint8)


def answers(pixels: Pixels, weights: np.ndarray = WEIGHTS) -> list[float]:
    """What the network answers, computed by numpy: uint8 [8, 8, 3] -> the probabilities of its classes."""
    logits = pixels.reshape(-1, 3).mean(axis=0) @ weights / TEMPERATURE
    powers = np.exp(logits - logits.max())
    return [float(share) for share in powers / powers.sum()]


def golden_photo(label: int, weights: np.ndarray = WEIGHTS, classes: Sequence[str] = CLASSES) -> Golden:
    pixels = colour_photo(label, seed=1)
    answered = answers(pixels, weights)
    return Golden(png_base64=base64.b64encode(encode(pixels)).decode(), label=classes[int(np.argmax(answered))],
                  truth=classes[label], probabilities=answered)


def write_tiny_model(folder: Path, *, weights: np.ndarray = WEIGHTS, height: int | str = SIZE,
                     width: int = SIZE, **card: object) -> Path:
    """Write model.onnx and a model.pt of the digest that it names; returns the path of model.onnx.

    `card` replaces fields of its ModelCard; `weights`, `height` and `width` change the network itself.
    """
    (folder / "model.pt").write_bytes(b"weights of the tiny model")
    named = {
        "variant": "baseline", "classes": CLASSES, "image_size": SIZE, "preparation": PREPARATION,
        "temperature": TEMPERATURE, "model_digest": sha256((folder / "model.pt").read_bytes()),
        "metrics": {"test_accuracy": 1.0}, "golden": [golden_photo(0), golden_photo(1)],
        "lineage": Lineage(manifest_digest="m", splits_digest="s", parameters={}, commit=None, versions={}),
    } | card
    model = _network(weights, height, width)
    helper.set_model_props(model, {CARD_KEY: ModelCard(**named).model_dump_json()})  # type: ignore[arg-type]
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def _network(weights: np.ndarray, height: int | str, width: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("Cast", [INPUT_NAME], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats"], ["colour"], axes=[1, 2], keepdims=0),
            helper.make_node("MatMul", ["colour", "weights"], [LOGITS_NAME]),
            helper.make_node("Div", [LOGITS_NAME, "temperature"], ["tempered"]),
            helper.make_node("Softmax", ["tempered"], [PROBABILITIES_NAME], axis=1),
        ],
        "tiny",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, ["n", height, width, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", weights.shape[1]])
         for name in (LOGITS_NAME, PROBABILITIES_NAME)],
        [numpy_helper.from_array(weights, "weights"),
         numpy_helper.from_array(np.array(TEMPERATURE, np.float32), "temperature")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
