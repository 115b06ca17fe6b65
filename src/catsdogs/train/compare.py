"""The network variants side by side: parameters, arithmetic, latency."""

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from catsdogs.nets.registry import VARIANTS, build, smallest_side
from catsdogs.settings.training import ModelsSettings

CLASSES = 2
RUNS = 7


@dataclass(frozen=True, kw_only=True)
class Variant:
    name: str
    parameters: int
    flops: int  # of one photo; a multiply-add counts as two
    latency_ms: float  # of one photo in torch, in one thread, float32


@dataclass(frozen=True, kw_only=True)
class ModelsResult:
    image_size: int
    variants: list[Variant]

    def text(self) -> str:
        rows = [f"{'variant':<10}{'parameters':>12}{'GFLOP':>8}{'ms/photo':>10}"]
        rows += [
            f"{variant.name:<10}{variant.parameters:>12,}{variant.flops / 1e9:>8.2f}{variant.latency_ms:>10.1f}"
            for variant in self.variants
        ]
        note = f"at {self.image_size} px; latency in torch, one thread, median of {RUNS}; serving is faster"
        return "\n".join([*rows, note])

    def data(self) -> dict[str, Any]:
        return asdict(self)


def models(settings: ModelsSettings) -> ModelsResult:
    """Measure every variant that takes photos of this size."""
    fitting = [name for name in VARIANTS if settings.image_size >= smallest_side(name)]
    return ModelsResult(
        image_size=settings.image_size, variants=[_measure(name, settings.image_size) for name in fitting]
    )


def _measure(name: str, image_size: int) -> Variant:
    network = build(name, CLASSES).eval()
    photo = torch.zeros(1, image_size, image_size, 3, dtype=torch.uint8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            with FlopCounterMode(display=False) as counter:
                network(photo)
            times = []
            for _ in range(RUNS):
                start = time.perf_counter()
                network(photo)
                times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return Variant(
        name=name,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        flops=int(counter.get_total_flops()),
        latency_ms=1000 * median(times),
    )
