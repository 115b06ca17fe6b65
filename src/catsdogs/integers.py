"""Whether this processor adds up products of integers exactly: of 8-bit weights those since about 2019 do (VNNI).

Older ones add two products in 16 bits, and cut off what does not fit: a fine-tuned EfficientNet-Lite0 answered its
golden photos rightly there, and 39 of 1,535 test photos with the other class (AVX2; probabilities moved by up to 0.91).
Of weights of 7 bits all fits, and the answers are to the bit those of VNNI (`fast`, 768 test photos).
"""

from functools import cache
from typing import Any

import numpy as np

from catsdogs.openvino_alone import openvino

WIDTH = 16
HIGHEST, HIGHEST_WEIGHT = 255, {"int8": 127, "int7": 64}
"""Of an activation and of a weight: two products make up to 64,770 and 32,640, and 16 bits hold 32,767."""
OPTIONS = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}


@cache
def are_exact(arithmetic: str) -> bool:
    """Measured once in a process, in 20 ms, by a convolution of one place whose sum is known."""
    weight = HIGHEST_WEIGHT[arithmetic]
    request = openvino().Core().compile_model(_convolution(weight), "CPU", OPTIONS).create_infer_request()
    (sums,) = request.infer([np.full((1, WIDTH, 1, 1), HIGHEST, np.uint8)]).values()
    return bool((sums == HIGHEST * weight * WIDTH).all())


def _convolution(weight: int) -> Any:
    """Of levels and weights in floats that the engine takes for the integers they are, as in networks (quantised/)."""
    make = openvino().opset13
    low, high, one = (make.constant(np.float32(value)) for value in (0, HIGHEST, 1))
    pixels = make.parameter([1, WIDTH, 1, 1], np.uint8)
    levels = make.fake_quantize(make.convert(pixels, "f32"), low, high, low, high, HIGHEST + 1)
    weights = make.constant(np.full((WIDTH, WIDTH, 1, 1), weight, np.int8))
    sums = make.convolution(levels, make.multiply(make.convert(weights, "f32"), one), [1, 1], [0, 0], [0, 0], [1, 1])
    return openvino().Model([sums], [pixels], "integers")
