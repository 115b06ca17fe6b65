"""`fast` as it is served: 8-bit integers into every convolution, simulated in floats (Jacob et al. 2018).

Weights have 255 steps a channel, activations 256 steps of a size that photos decide. On 2 cores with AVX-512 VNNI a
photo of 128 px takes 0.46 ms instead of 0.89 in bfloat16 and 1.55 in float32.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_weights
from torch.nn import functional

from catsdogs.nets.fast import Block, Fast
from catsdogs.nets.network import DEVIATION, Network, at_once

HIGHEST = 255  # level of an activation
HIGHEST_WEIGHT = 127
PIXEL_STEP = 1 / (255 * DEVIATION)
PIXEL_ZERO = 115
"""The level of a pixel that counts as 0: a whole number, a quarter of a level beside 255 * MEAN of training."""

STEPS = "activation_steps"
PIXELS = 256 * 128**2
"""To look at for the steps of activations: of 256 photos of 128 px."""

VALUES = 20_000  # of each activation
LEAST, TRIED = 0.3, 29
"""From this share of the largest value up to all of it so many are tried as the highest level; above it is cut off."""


class Rounded(nn.Module):
    """Values of 0 and more -> the nearest of 256 levels; as they are while there is no step."""

    def __init__(self, step: float = 0.0) -> None:
        super().__init__()
        self.step = step

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.step:
            return values
        if torch.onnx.is_in_onnx_export():
            return torch.fake_quantize_per_tensor_affine(values, self.step, 0, 0, HIGHEST)
        # The same, three times faster: torch's own also makes a mask for the gradient.
        return (values * (1 / self.step)).round_().clamp_(max=HIGHEST).mul_(self.step)


class Convolution(nn.Module):
    """A convolution and the normalisation behind it in one, with rounded weights."""

    weight: torch.Tensor
    bias: torch.Tensor
    scales: torch.Tensor
    zeros: torch.Tensor

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d, *, means_of: int = 1) -> None:
        """`means_of`: in its place, over means of so many x so many values beside each other."""
        super().__init__()
        assert norm.running_mean is not None and norm.running_var is not None
        with torch.no_grad():
            fused, bias = fuse_conv_bn_weights(
                convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight,
                norm.bias)
            weight: torch.Tensor = fused
            if means_of > 1:
                weight = (weight / means_of**2).expand(-1, -1, means_of, means_of).contiguous()
            scales = weight.abs().amax(dim=(1, 2, 3)).clamp_min(1e-12) / HIGHEST_WEIGHT
            rounded = (weight / scales[:, None, None, None]).round() * scales[:, None, None, None]
        for name, tensor in (("weight", rounded), ("bias", bias), ("scales", scales)):
            self.register_buffer(name, tensor.detach().clone())
        self.register_buffer("zeros", torch.zeros(len(scales), dtype=torch.int32))
        self.stride, self.padding = convolution.stride[0] * means_of, convolution.padding[0]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        weight = self.weight
        if torch.onnx.is_in_onnx_export():
            weight = torch.fake_quantize_per_channel_affine(
                weight, self.scales, self.zeros, 0, -HIGHEST_WEIGHT - 1, HIGHEST_WEIGHT)
        return functional.conv2d(values, weight, self.bias, self.stride, self.padding)


class QuantisedBlock(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        self.before, self.between = Rounded(), Rounded()
        self.first, self.second = (Convolution(block.first, block.first_norm),
                                   Convolution(block.second, block.second_norm))
        self.stride, self.shortcut = block.stride, None
        if block.shortcut is not None:
            convolution, norm = block.shortcut
            assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            # One convolution instead of means, which the engine takes in floats: 0.02 ms instead of 0.06.
            self.shortcut = Convolution(convolution, norm, means_of=block.stride)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values = self.before(values)
        residual = self.second(self.between(functional.relu(self.first(values))))
        rest = [-length % self.stride for length in values.shape[2:]]
        if any(rest):  # a mean over a border that is there once is that over it twice
            values = functional.pad(values, (0, rest[1], 0, rest[0]), mode="replicate")
        if self.shortcut is not None:
            values = self.shortcut(values)
        return functional.relu(values + residual)


class Quantised(Network):
    """A trained `Fast` in whole steps. Only for answering; computes in float32, whatever autocast says."""

    def __init__(self, network: Fast, steps: list[float] | None = None) -> None:
        """Raises ValueError for steps that are not one positive number an activation."""
        super().__init__()
        self.original, self.head = (network,), network.head  # in a tuple: no part of this one
        self.stem = Convolution(network.stem, network.norm)
        self.blocks = nn.Sequential(*(QuantisedBlock(block) for block in network.blocks if isinstance(block, Block)))
        if steps is not None:
            rounded = self.activations()
            if len(steps) != len(rounded) or not all(math.isfinite(step) and step > 0 for step in steps):
                raise ValueError(f"{STEPS} holds no {len(rounded)} positive numbers")
            for activation, step in zip(rounded, steps, strict=True):
                activation.step = float(step)

    def activations(self) -> list[Rounded]:
        return [module for module in self.modules() if isinstance(module, Rounded)]

    def scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        values = pixels.permute(0, 3, 1, 2).to(torch.float32)
        if torch.onnx.is_in_onnx_export():
            return torch.fake_quantize_per_tensor_affine(super().scaled(pixels), PIXEL_STEP, PIXEL_ZERO, 0, HIGHEST)
        return (values - PIXEL_ZERO).mul_(PIXEL_STEP)

    def maps(self, pixels: torch.Tensor, *, blocked: bool = False) -> torch.Tensor:
        with torch.autocast(pixels.device.type, enabled=False):
            maps: torch.Tensor = self.blocks(functional.relu(self.stem(self.scaled(pixels))))
        return maps

    def pooled(self, maps: torch.Tensor) -> torch.Tensor:
        return self.original[0].pooled(maps)

    def evidence(self, maps: torch.Tensor) -> torch.Tensor:
        return self.original[0].evidence(maps)


def learn_steps(network: Network, pixels: np.ndarray) -> None:
    """Choose the steps of a trained network's activations by photos, uint8 [n, side, side, 3], evenly among them.

    The step of the least squared error, of each by itself. Networks that are not served in integers stay as they are.
    """
    if not isinstance(network, Fast):
        return
    network.eval()
    quantised = Quantised(network).eval()
    seen: list[list[torch.Tensor]] = [[] for _ in quantised.activations()]

    def look(place: int, count: int, values: torch.Tensor) -> None:
        flat = values.flatten()
        seen[place].append(flat[::max(1, flat.numel() // max(1, VALUES // count))].clone())

    side = pixels.shape[1]
    places = np.unique(np.linspace(0, len(pixels) - 1, max(8, PIXELS // side**2)).astype(int))
    pieces = np.array_split(places, -(-len(places) // at_once(side)))
    hooks = [activation.register_forward_pre_hook(
        lambda _, values, place=place: look(place, len(pieces), values[0]))
        for place, activation in enumerate(quantised.activations())]
    device = network.head.weight.device
    with torch.inference_mode():
        for piece in pieces:
            quantised(torch.from_numpy(np.array(pixels[piece])).to(device))
    for hook in hooks:
        hook.remove()
    network.description = {**network.description, STEPS: [_step(torch.cat(values)) for values in seen]}


def _step(values: torch.Tensor) -> float:
    """Of the least squared error."""
    highest = max(float(values.max()), 1e-6)
    steps = torch.linspace(LEAST, 1.0, TRIED, device=values.device)[:, None] * (highest / HIGHEST)
    errors = ((values / steps).round().clamp(max=HIGHEST) * steps - values).square().mean(1)
    return float(steps[errors.argmin()])


def served(network: Network) -> Network:
    """What answers in its place: itself, or in integers where it has learned the steps for them.

    Raises ValueError for steps that do not fit.
    """
    steps = network.description.get(STEPS)
    if not isinstance(network, Fast) or steps is None:
        return network
    return Quantised(network, steps).eval()
