"""BentoML with eager torch and its adaptive batching."""

from pathlib import Path

import bentoml
import torch
from answers import setting
from network import Classifier, tensor


@bentoml.service(workers=setting("WORKERS", 1), traffic={"timeout": 30, "concurrency": 64},
                 metrics={"enabled": True}, logging={"access": {"enabled": False}})
class Service:
    def __init__(self) -> None:
        torch.set_num_threads(setting("THREADS", 2))
        self.classifier = Classifier()

    @bentoml.api(batchable=True, max_batch_size=setting("BATCH", 8), max_latency_ms=setting("LATENCY_MS", 20000))
    def predict(self, file: list[Path]) -> list[dict[str, object]]:
        return self.classifier.answers(torch.stack([tensor(path.read_bytes()) for path in file]))
