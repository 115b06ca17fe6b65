"""The networks, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from catsdogs.errors import UsageError
from catsdogs.nets.fast import Fast
from catsdogs.nets.network import Network
from catsdogs.nets.plain import Plain
from catsdogs.nets.pretrained import PREFIX, from_description, from_hub


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
SMALLEST_PRETRAINED = 8  # what ingest takes; whether the backbone does is tried (pretrained.takes_photos_of)


def variant_name(variant: str) -> str:
    """The canonical name. Raises UsageError for one that does not exist."""
    name = ALIASES.get(variant, variant)
    if name not in VARIANTS and not name.startswith(PREFIX):
        raise UsageError(f"There is no model variant {variant!r}: --model-variant takes {', '.join(VARIANTS)} or "
                         f"{PREFIX}<hub name or folder>.")
    return name


def build(variant: str, classes: int, description: dict[str, Any] | None = None) -> Network:
    """A freshly initialised network in channels-last layout; seed torch before, for the same weights again.

    A pretrained one is loaded with its weights, or with `description` built without them. Raises ValueError for a
    description that does not fit.
    """
    name = variant_name(variant)
    network: Network
    if name.startswith(PREFIX) and description is not None:
        network = from_description(description, classes)
    elif name.startswith(PREFIX):
        network = from_hub(name.removeprefix(PREFIX), classes)
    else:
        network = VARIANTS[name].make(classes)
        network.describe(dict(description or {}))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def smallest_side(variant: str) -> int:
    """The smallest photo that the network takes."""
    name = variant_name(variant)
    return SMALLEST_PRETRAINED if name.startswith(PREFIX) else VARIANTS[name].smallest
