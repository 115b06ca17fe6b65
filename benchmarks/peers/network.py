"""The three-layer network of the specification in eager torch, as people write it, with the benchmark's weights."""

import io
import os
from pathlib import Path

import numpy as np
import torch
from answers import answer
from PIL import Image
from torch import nn

SIDE = 224
MEAN, DEVIATION = 0.45, 0.27


class Baseline(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )
        self.head = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.features(batch).mean(dim=(2, 3)))
        return logits


class Classifier:
    """The network of the model.pt that BENCH_MODEL names, and the specification's answer."""

    def __init__(self) -> None:
        content = torch.load(Path(os.environ["BENCH_MODEL"]), map_location="cpu", weights_only=True)
        self.classes: list[str] = content["card"]["classes"]
        self.temperature: float = content["card"]["temperature"]
        self.network = Baseline(len(self.classes))
        self.network.load_state_dict(content["weights"])
        self.network.eval()

    def answers(self, batch: torch.Tensor) -> list[dict[str, object]]:
        with torch.no_grad():
            rows = torch.softmax(self.network(batch) / self.temperature, dim=1).tolist()
        return [answer(self.classes, row) for row in rows]


def tensor(photo: bytes) -> torch.Tensor:
    """An encoded photo -> float32 [3, 224, 224]."""
    image = Image.open(io.BytesIO(photo)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255
    return (pixels - MEAN) / DEVIATION
