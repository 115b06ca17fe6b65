"""LitServe with eager torch and its batching."""

import os
import sys
from typing import Any

import litserve
import torch
from answers import setting
from fastapi import Request
from network import Classifier, tensor


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        torch.set_num_threads(setting("THREADS", 1))
        self.classifier = Classifier()

    def decode_request(self, request: Request) -> torch.Tensor:
        return tensor(request["file"].file.read())

    def batch(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(inputs)

    def predict(self, batch: torch.Tensor) -> Any:
        if batch.ndim == 3:  # LitServe does not call `batch` where the size is 1
            return self.classifier.answers(batch[None])[0]
        return self.classifier.answers(batch)

    def unbatch(self, output: list[dict[str, object]]) -> list[dict[str, object]]:
        return output

    def encode_response(self, output: dict[str, object]) -> dict[str, object]:
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=setting("BATCH", 4), batch_timeout=setting("WAIT_MS", 5) / 1000)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=setting("WORKERS", 2),
                                fast_queue=bool(setting("FAST_QUEUE", 1)))
    server.run(host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), num_api_servers=setting("API_SERVERS", 1),
               log_level="warning", generate_client_file=False)
    sys.exit()
