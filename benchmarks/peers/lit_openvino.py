"""LitServe with OpenVINO on a model.onnx; on one in floats, answered in bfloat16 where there is it: the tuned peer."""

import io
import json
import os
import sys
from typing import Any

import litserve
import numpy as np
import openvino
from answers import answer, setting
from fastapi import Request
from PIL import Image


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        core = openvino.Core()
        model = core.read_model(os.environ["BENCH_MODEL"])
        self.side = model.input(0).get_partial_shape()[1].get_length()
        card = json.loads(model.get_rt_info(["framework", "catsdogs"]).astype(str))
        self.classes = card["classes"]
        results = [port.get_node() for port in model.outputs if "probabilities" in port.get_names()]
        self.model = core.compile_model(openvino.Model(results, model.get_parameters(), "served"), "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": setting("THREADS", 1),
            "ENABLE_CPU_PINNING": False})
        self.request = self.model.create_infer_request()

    def decode_request(self, request: Request) -> np.ndarray:
        image = Image.open(io.BytesIO(request["file"].file.read()))
        image.draft("RGB", (self.side, self.side))
        return np.asarray(image.convert("RGB").resize((self.side, self.side), Image.Resampling.BILINEAR))

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, batch: np.ndarray) -> Any:
        rows = self.request.infer({0: batch if batch.ndim == 4 else batch[None]})[0].tolist()
        answers = [answer(self.classes, row) for row in rows]
        return answers if batch.ndim == 4 else answers[0]

    def unbatch(self, output: list[dict[str, object]]) -> list[dict[str, object]]:
        return output

    def encode_response(self, output: dict[str, object]) -> dict[str, object]:
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=setting("BATCH", 8), batch_timeout=setting("WAIT_MS", 2) / 1000)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=setting("WORKERS", 2),
                                fast_queue=bool(setting("FAST_QUEUE", 1)))
    server.run(host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), num_api_servers=setting("API_SERVERS", 1),
               log_level="warning", generate_client_file=False)
    sys.exit()
