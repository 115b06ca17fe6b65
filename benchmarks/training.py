"""Training speed of `baseline`, ours or the plain recipe, on the same photos: prints images/s of whole steps; with
`--epochs` the plain recipe is trained that long, and its accuracy on the test split printed too.

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


def plain(data_dir: Path, batch: int, steps: int, epochs: int) -> dict[str, float]:
    class Folder(Dataset[tuple[torch.Tensor, int]]):
        def __init__(self, split: str) -> None:
            paths = sorted((data_dir / split).glob("*/*.jpg"))
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
    workers = os.cpu_count() or 1
    loader = DataLoader(Folder("train"), batch, shuffle=True, num_workers=workers)
    most = epochs * len(loader) if epochs else steps + WARM_UP
    started, step = 0.0, 0
    while step < most:
        for images, labels in loader:
            if step == WARM_UP:
                started = time.perf_counter()
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimiser.step()
            step += 1
            if step == most:
                break
    answer = {"images_per_second": (most - WARM_UP) * batch / (time.perf_counter() - started)}
    if epochs:
        test, right = Folder("test"), 0
        with torch.inference_mode():
            for images, labels in DataLoader(test, batch, num_workers=workers):
                right += int((network.eval()(images).argmax(1) == labels).sum())
        answer |= {"accuracy": right / len(test), "epochs": epochs}
    return answer


def ours(data_dir: Path, batch: int, steps: int) -> dict[str, float]:
    from catsdogs.nets.registry import build
    from catsdogs.packed import open_packed
    from catsdogs.train.batches import TrainingBatches
    from catsdogs.train.device import choose
    from catsdogs.train.step import step_on
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
    return {"images_per_second": steps * batch / (time.perf_counter() - started)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=["plain", "ours"])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=0, help="of the plain recipe; 0: --steps alone")
    arguments = parser.parse_args()
    if arguments.recipe == "plain":
        print(json.dumps(plain(arguments.data_dir, arguments.batch, arguments.steps, arguments.epochs)))
    else:
        print(json.dumps(ours(arguments.data_dir, arguments.batch, arguments.steps)))
