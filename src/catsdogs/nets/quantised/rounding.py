"""Whole weights for the networks of the specification, so that their answers stay nearly what they were.

Rounded each to the nearest level, weights move probabilities of `baseline` by up to 0.009 on 200 real photos; so
chosen, by 0.002 (0.0034 on 402 others). It takes the same time to answer.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional

from catsdogs.images import Pixels
from catsdogs.integers import HIGHEST, HIGHEST_WEIGHT
from catsdogs.nets.network import at_once
from catsdogs.nets.plain import Plain
from catsdogs.nets.quantised import layers
from catsdogs.nets.quantised.layers import Convolution
from catsdogs.nets.quantised.plain import QuantisedPlain, text_of

LEAST_FACTOR = 2.0**-5
DAMPING = 0.01  # of the moments' mean, added to each: directions that photos never show stay as they are
PLACES = 24  # of a photo's width, and of its height, where patches are taken


def equalise(network: Plain, photos: Pixels) -> list[float]:
    """Bring channels nearer to each other in size, half-way in logarithms, which one step for all of them suits.

    Cross-layer equalisation (Nagel et al. 2019): ReLU and pooling let a positive factor pass, so that the next
    convolution can take it back. Factors are powers of two: every answer stays the same to the last bit. Returns the
    steps of activations whose highest level is the largest value; none, and nothing is changed, where
    values are no finite numbers.
    """
    convolutions = network.convolutions()
    largest = [torch.zeros(convolution.out_channels) for convolution in convolutions]

    def look(place: int, values: torch.Tensor) -> None:
        largest[place] = torch.maximum(largest[place], values.amax(dim=(0, 2, 3)))

    hooks = [convolution.register_forward_hook(lambda _, __, values, place=place: look(place, values))
             for place, convolution in enumerate(convolutions)]
    with torch.inference_mode():
        for pixels in _pieces(photos):
            network(pixels)
    for hook in hooks:
        hook.remove()
    if not all(torch.isfinite(sizes).all() for sizes in largest):
        return []
    steps = []
    with torch.no_grad():
        for (before, after), sizes in zip(pairwise(convolutions), largest, strict=False):
            assert before.bias is not None, "networks of the specification have one"
            shares = (sizes / sizes.max().clamp_min(1e-12)).clamp_min(LEAST_FACTOR**2)
            factors = torch.exp2(shares.log2().mul(0.5).round())
            before.weight.div_(factors[:, None, None, None])
            before.bias.div_(factors)
            after.weight.mul_(factors[None, :, None, None])
            steps.append(max(float((sizes / factors).max()) / HIGHEST, 1e-8))
    return steps


def choose_levels(network: QuantisedPlain, photos: Pixels) -> list[str]:
    """The levels of each convolution's weights, as text; `network` has its steps, and takes the levels."""
    texts = []
    for number, (convolution, original) in enumerate(
            zip(network.convolutions, network.plain().convolutions(), strict=True)):
        assert isinstance(convolution, Convolution)
        # In levels, or those of large values would overflow.
        step = network.steps()[number - 1] if number else layers.PIXEL_STEP
        moments = sum(_moments(network.given_to(number, pixels) / step) for pixels in _pieces(photos))
        assert isinstance(moments, torch.Tensor)
        levels = compensated(original.weight.detach(), convolution.scales, moments)
        convolution.take(levels)
        texts.append(text_of(levels))
    return texts


def compensated(weight: torch.Tensor, scales: torch.Tensor, moments: torch.Tensor) -> torch.Tensor:
    """Weights [n, channels, height, width] as levels of `scales` [n], whole numbers of the same shape.

    One is rounded after the other, and what that adds to the answers the weights to come make up for as well as they
    can: `moments` [inputs, inputs] say which go together (GPTQ, Frantar et al. 2023, after Hassibi and Stork 1993).
    """
    moments = moments.double()
    moments = moments + DAMPING * moments.diagonal().mean().clamp_min(1e-12) * torch.eye(len(moments))  # so invertible
    order = moments.diagonal().argsort(descending=True)  # those that matter most have most to make up for them
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(moments[order][:, order]))
    factor = torch.linalg.cholesky(inverse, upper=True)
    rest = (weight.flatten(1) / scales[:, None]).double()[:, order]
    levels, highest = torch.empty_like(rest), HIGHEST_WEIGHT["int8"]
    for place in range(len(factor)):
        levels[:, place] = rest[:, place].round().clamp(-highest, highest)
        lost = (rest[:, place] - levels[:, place]) / factor[place, place]
        rest[:, place + 1:] -= lost[:, None] * factor[place, place + 1:]
    return levels[:, order.argsort()].view(weight.shape)


def farthest(network: QuantisedPlain, photos: Pixels) -> float:
    """How far a probability, before the temperature, lies from the network's in floats, at most; NaN for none."""
    parts = []
    with torch.inference_mode():
        for pixels in _pieces(photos):
            here, there = (functional.softmax(one(pixels), dim=1) for one in (network, network.plain()))
            parts.append(float((here - there).abs().max()))
    return float(np.max(parts))  # Python's own maximum may lose a NaN


def _pieces(photos: Pixels) -> Iterator[torch.Tensor]:
    batch = at_once(photos.shape[1])
    for start in range(0, len(photos), batch):
        yield torch.from_numpy(np.array(photos[start:start + batch]))


def _moments(values: torch.Tensor) -> torch.Tensor:
    """Of the 3 x 3 patches that a convolution meets at some places, [inputs, inputs]."""
    stride = max(1, values.shape[2] // PLACES) | 1  # odd, as pooling halves
    patches = functional.unfold(values, 3, padding=1, stride=stride).transpose(1, 2).flatten(0, 1)
    return patches.t() @ patches
