"""The networks, by name."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from catsdogs.errors import UsageError
from catsdogs.nets.fast import Fast
from catsdogs.nets.network import Network
from catsdogs.nets.plain import Plain


@dataclass(frozen=True)
class Entry:
    make: Callable[[int], Network]
    smallest: int  # side of the smallest photo that every pooling still leaves a pixel of


VARIANTS = {
    "baseline": Entry(lambda classes: Plain((32, 64, 128), classes), 8),
    "wider": Entry(lambda classes: Plain((64, 128, 256, 512), classes), 16),
    "fast": Entry(Fast, 16),
}
ALIASES = {"wide": "wider"}


def variant_name(variant: str) -> str:
    """The canonical name. Raises UsageError for one that does not exist."""
    name = ALIASES.get(variant, variant)
    if name not in VARIANTS:
        raise UsageError(f"There is no model variant {variant!r}: --model-variant takes {', '.join(VARIANTS)}.")
    return name


def build(variant: str, classes: int) -> Network:
    """A freshly initialised network in channels-last layout; seed torch before, for the same weights again."""
    network = VARIANTS[variant_name(variant)].make(classes)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def smallest_side(variant: str) -> int:
    """The smallest photo that the network takes."""
    return VARIANTS[variant_name(variant)].smallest
