"""A torch network -> an ONNX file in memory."""

import io
import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch.jit._trace import TracerWarning

from catsdogs.artifacts import INPUT_NAME


def traced(module: nn.Module, side: int, outputs: Sequence[str]) -> bytes:
    """`module` takes uint8 [n, side, side, 3] of any n and answers with as many tensors [n, ...] as `outputs`."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter takes 5 s instead of 0.3, writes a second file and needs another package. torch is
        # pinned, so the older one's removal cannot surprise us.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Paddings follow the size of the photo, and a model takes one size only.
        warnings.simplefilter("ignore", TracerWarning)
        torch.onnx.export(
            module, (torch.zeros(1, side, side, 3, dtype=torch.uint8),), buffer, dynamo=False,
            input_names=[INPUT_NAME], output_names=list(outputs),
            # It would turn 8-bit weights into floats, which the engine then reads four times as long.
            do_constant_folding=False,
            dynamic_axes={name: {0: "n"} for name in (INPUT_NAME, *outputs)},
        )
    return buffer.getvalue()
