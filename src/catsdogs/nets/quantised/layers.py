"""What networks in 8-bit integers are made of, simulated in floats (Jacob et al. 2018).

Weights have up to 255 steps a channel, activations 256 steps of a size that photos decide (steps.py).
"""

from typing import Self

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import fuse_conv_bn_weights

from catsdogs.integers import HIGHEST, HIGHEST_WEIGHT
from catsdogs.nets.network import DEVIATION


PIXEL_STEP = 1 / (255 * DEVIATION)
PIXEL_ZERO = 115
"""The level of a pixel that counts as 0: a whole number, a quarter of a level beside 255 * MEAN of training."""


class Rounded(nn.Module):
    """Values -> the nearest of 256 levels; as they are while there is no step.

    Values of 0 and more have the levels from 0 to 255; `signed` ones from -128 to 127.
    """

    def __init__(self, *, signed: bool = False) -> None:
        super().__init__()
        self.step = 0.0
        self.highest = HIGHEST // 2 if signed else HIGHEST
        self.lowest = self.highest - HIGHEST

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.step:
            return values
        if torch.onnx.is_in_onnx_export():
            return torch.fake_quantize_per_tensor_affine(values, self.step, 0, self.lowest, self.highest)
        # The same, three times faster: torch's own also makes a mask for the gradient.
        return (values * (1 / self.step)).round_().clamp_(self.lowest, self.highest).mul_(self.step)


class Convolution(nn.Module):
    """A convolution and the normalisation behind it, where there is one, in one, with rounded weights."""

    weight: torch.Tensor
    bias: torch.Tensor
    scales: torch.Tensor
    zeros: torch.Tensor

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d | None, *, means_of: int = 1,
                 arithmetic: str = "int8") -> None:
        """`means_of`: in its place, over means of so many x so many values beside each other."""
        super().__init__()
        with torch.no_grad():
            weight, bias = _fused(convolution, norm)
            if means_of > 1:
                weight = (weight / means_of**2).expand(-1, -1, means_of, means_of).contiguous()
            scales = weight.abs().amax(dim=(1, 2, 3)).clamp_min(1e-12) / HIGHEST_WEIGHT[arithmetic]
            levels = (weight / scales[:, None, None, None]).round()
        for name, tensor in (("weight", levels * scales[:, None, None, None]), ("bias", bias), ("scales", scales)):
            self.register_buffer(name, tensor.detach().clone())
        self.register_buffer("zeros", torch.zeros(len(scales), dtype=torch.int32))
        self.stride, self.padding = convolution.stride[0] * means_of, convolution.padding[0]
        self.groups = convolution.groups

    def take(self, levels: torch.Tensor) -> Self:
        """Other whole weights than the nearest, int8, of the same shape."""
        self.weight.copy_(levels * self.scales[:, None, None, None])
        return self

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        weight = self.weight
        if torch.onnx.is_in_onnx_export():
            weight = torch.fake_quantize_per_channel_affine(
                weight, self.scales, self.zeros, 0, -128, 127)
        return functional.conv2d(values, weight, self.bias, self.stride, self.padding, groups=self.groups)


def _fused(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[torch.Tensor, torch.Tensor]:
    if norm is None:
        assert convolution.bias is not None, "what no normalisation follows has a bias"
        return convolution.weight, convolution.bias
    assert norm.running_mean is not None and norm.running_var is not None
    return fuse_conv_bn_weights(convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps,
                                norm.weight, norm.bias)


def whole(scaled: torch.Tensor) -> torch.Tensor:
    """Pixels as networks of our own scale them, [n, 3, side, side], PIXEL_ZERO of which count as 0."""
    if torch.onnx.is_in_onnx_export():
        return torch.fake_quantize_per_tensor_affine(scaled, PIXEL_STEP, PIXEL_ZERO, 0, HIGHEST)
    return (scaled * (1 / PIXEL_STEP) + PIXEL_ZERO).round_().sub_(PIXEL_ZERO).mul_(PIXEL_STEP)
