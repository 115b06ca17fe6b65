"""Training speed of `baseline`, ours or the plain recipe, on the same photos: prints images/s of whole steps.

The plain recipe is what tutorials write: a folder of JPEGs, a Dataset that opens each with Pillow, a DataLoader with
one worker per core, float tensors in NCHW, conv - ReLU - pool, Adam.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

WARM_UP = 2


def plain(data_dir: Path, batch: int, steps: int) -> float:
    class Folder(Dataset[tuple[torch.Tensor, int]]):
        def __init__(self) -> None:
            paths = sorted((data_dir / "train").glob("*/*.jpg"))
            self.files = [(path, number) for number, name in enumerate(sorted({p.parent.name for p in paths}))
                          for path in paths if path.parent.name == name]

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            path, label = self.files[index]
            with Image.open(path) as image:
                pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255
            return (pixels - 0.5) / 0.5, label

    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 64), nn.ReLU(),
                            nn.Linear(64, 2))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    loader = DataLoader(Folder(), batch, shuffle=True, num_workers=os.cpu_count() or 1)
    started = 0.0
    for step, (images, labels) in enumerate(loader):
        if step == WARM_UP:
            started = time.perf_counter()
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimiser.step()
        if step + 1 == steps + WARM_UP:
            break
    return steps * batch / (time.perf_counter() - started)


def ours(data_dir: Path, batch: int, steps: int) -> float:
    from catsdogs.nets.registry import build
    from catsdogs.packed import open_packed
    from catsdogs.train.batches import TrainingBatches
    from catsdogs.train.device import choose
    from catsdogs.train.loop import step_on
    from catsdogs.train.plan import Plan
    from catsdogs.train.recipe import RECIPES
    from catsdogs.train.training import Training

    device = choose(force_cpu=True)
    photos = open_packed(data_dir).train
    plan = Plan(recipe=RECIPES["baseline"], epochs=1, batch_size=batch, learning_rate=1e-3, seed=1)
    training = Training.begin(build("baseline", 2), plan, device.precision)
    batches = TrainingBatches(photos, batch, plan.seed)
    started = 0.0
    for step in range(steps + WARM_UP):
        if step == WARM_UP:
            started = time.perf_counter()
        step_on(training, *batches.get(1, step, photos.pixels.shape[1]), device)
    return steps * batch / (time.perf_counter() - started)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=["plain", "ours"])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6)
    arguments = parser.parse_args()
    speed = {"plain": plain, "ours": ours}[arguments.recipe](arguments.data_dir, arguments.batch, arguments.steps)
    print(json.dumps({"images_per_second": speed}))
