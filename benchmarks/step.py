"""Where a training step's time goes, and whether torch.compile would pay: prints a table, benchmarks/STEP.md.

Photos are drawn anew (noise): a step takes as long on any. Each network in a process of its own; steps compiled and not
take turns. A compiled step is the same step with the network's layers given to torch.compile, whose time to compile is
that of its first step less an ordinary one; it needs a C++ compiler.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from run import processor

HERE = Path(__file__).parent
SUMMARY = HERE / "STEP.md"
CASES = (  # variant, side of the packed photos, share of a training that is done, which decides the side of a step
    ("baseline", 224, 0.0), ("fast", 112, 0.0), ("fast", 112, 0.9),
    ("pretrained:efficientnet-lite0", 192, 0.0),
)
BATCH, COUNT = 64, 512
ROUNDS, WARM_UP = 4, 2
LEAST_SECONDS = 2.0  # of a round


class Parts:
    """Seconds within calls of functions, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
        return call


def measured(variant: str, packed: int, done: float) -> dict[str, Any]:
    from catsdogs.nets.registry import build, smallest_side
    from catsdogs.packed import Packed
    from catsdogs.train.batches import TrainingBatches
    from catsdogs.train.device import choose
    from catsdogs.train.step import step_on
    from catsdogs.train.plan import Plan
    from catsdogs.train.recipe import recipe_for
    from catsdogs.train.training import Training

    device, recipe = choose(force_cpu=True), recipe_for(variant)
    random = np.random.default_rng(1)
    photos = Packed(random.integers(0, 256, (COUNT, packed, packed, 3), dtype=np.uint8),
                    random.integers(0, 2, COUNT), [])
    torch.manual_seed(1)
    training = Training.begin(
        build(variant, 2), Plan(recipe=recipe, epochs=1, batch_size=BATCH, learning_rate=1e-3, seed=1),
        device.precision)
    batches = TrainingBatches(photos, BATCH, 1, recipe.augmentation)
    side = recipe.side(done, packed, smallest_side(variant))
    parts, number = Parts(), 0
    get = parts.timed("input", batches.get)
    for optimiser in training.optimisers:
        optimiser.step = parts.timed("optimiser", optimiser.step)  # type: ignore[method-assign]
    training.average.update = parts.timed("average", training.average.update)  # type: ignore[method-assign]
    eager = training.network.maps
    layers = torch.compile(eager)

    def compiled(pixels: torch.Tensor, *, blocked: bool = False) -> torch.Tensor:
        return layers(pixels)  # the compiler chooses layouts itself, and knows none of oneDNN's

    def step(maps: Callable[..., Any]) -> float:
        nonlocal number
        started = time.perf_counter()
        training.network.maps = maps  # type: ignore[method-assign]
        step_on(training, *get(number // len(batches), number % len(batches), side), device)
        number += 1
        return time.perf_counter() - started

    def seconds(maps: Callable[..., Any], count: int) -> float:
        return sum(step(maps) for _ in range(count)) / count

    seconds(eager, WARM_UP)
    usual = seconds(eager, WARM_UP)
    count = max(WARM_UP, round(LEAST_SECONDS / usual))
    compiling = step(compiled) - usual
    seconds(compiled, WARM_UP)
    rounds, shares = [], []
    for _ in range(ROUNDS):
        parts.seconds.clear()
        plain = seconds(eager, count)
        shares.append({name: took / (plain * count) for name, took in parts.seconds.items()})
        rounds.append((plain, seconds(compiled, count)))
    return {"variant": variant, "side": side, "piece": device.piece(BATCH, side), "precision": str(device.precision),
            "eager": [plain for plain, _ in rounds], "compiled": [other for _, other in rounds], "compiling": compiling,
            "shares": {name: statistics.median(share[name] for share in shares) for name in shares[0]}}


def summary(rows: list[dict[str, Any]]) -> str:
    lines = [
        "# Results of `python benchmarks/step.py`", "",
        f"{date.today()}, {processor()}, torch {torch.__version__}, batches of {BATCH} photos. Medians of "
        f"{ROUNDS} rounds in turn. The network is what input (reading, augmentation), optimisers and the average of "
        "weights leave of a step.", "",
        "| variant | side | precision | ms a step | input | network | optimisers | average | compiled, ms a step "
        "| time of a step, compiled / not | compiling | pays back after |",
        "|" + 12 * " --- |",
    ]
    for row in rows:
        shares = row["shares"]
        plain, other = statistics.median(row["eager"]), statistics.median(row["compiled"])
        ratios = [after / before for before, after in zip(row["eager"], row["compiled"], strict=True)]
        gained = 1 - statistics.median(ratios)
        lines.append("| " + " | ".join([
            row["variant"], f"{row['side']} px", row["precision"].removeprefix("torch."), f"{1000 * plain:.0f}",
            f"{shares['input']:.1%}", f"{1 - sum(shares.values()):.1%}", f"{shares['optimiser']:.1%}",
            f"{shares['average']:.1%}", f"{1000 * other:.0f}",
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", f"{row['compiling']:.0f} s",
            f"{row['compiling'] / gained:.0f} s" if gained > 0 else "never"]) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", type=int, choices=range(len(CASES)), help="one alone, as JSON")
    arguments = parser.parse_args()
    if arguments.case is not None:
        print(json.dumps(measured(*CASES[arguments.case])))
        return
    rows = []
    for case in range(len(CASES)):
        with tempfile.TemporaryDirectory() as empty:  # what was compiled before would be found again
            done = subprocess.run([sys.executable, __file__, "--case", str(case)], check=True, stdout=subprocess.PIPE,
                                  env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": empty})
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    SUMMARY.write_text(summary(rows))
    print(SUMMARY.read_text())


if __name__ == "__main__":
    main()
