"""How long /livez and /readyz take while 64 clients upload photos of 12 megapixels: `python benchmarks/liveness.py`.

The service, the clients and the probes share this machine. Prints one line; exits with 1 above --most-ms.
"""

import argparse
import asyncio
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from tests.photos import encoded, picture  # noqa: E402
from tests.serve.malformed import form  # noqa: E402
from tests.servers import free_port, running  # noqa: E402
from tests.tiny_model import write_tiny_model  # noqa: E402

EVERY_SECONDS = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-path", type=Path, help="a model.onnx; a tiny one by itself")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--most-ms", type=float, default=50.0, help="the slowest hundredth may take as long")
    parser.add_argument("--upload-to", type=int, help=argparse.SUPPRESS)  # this script again, as the clients
    arguments = parser.parse_args()
    if arguments.upload_to:
        asyncio.run(upload(arguments.upload_to, arguments.clients, arguments.seconds))
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model_path or write_tiny_model(Path(folder))
        command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", str(port),
                   "--model-path", str(model), "--processes", str(arguments.processes)]
        with running(command, port) as process:
            threading.Thread(target=process.stderr.read, daemon=True).start()  # type: ignore[union-attr]
            quiet = probe(port, 2.0)
            again = [sys.executable, __file__, "--upload-to", str(port), "--clients", str(arguments.clients),
                     "--seconds", str(arguments.seconds + 6)]
            with subprocess.Popen(again, stdout=subprocess.PIPE, text=True) as clients:
                time.sleep(4.0)
                busy = probe(port, arguments.seconds)
                answered = clients.communicate()[0].strip()
    print(f"quiet: {told(quiet)}; under {arguments.clients} uploads of 12 megapixels: {told(busy)}; "
          f"uploads answered {answered}; load average {os.getloadavg()[0]:.1f}")
    sys.exit(percentile(busy, 99) > arguments.most_ms)


def probe(port: int, seconds: float) -> list[float]:
    """Milliseconds of each probe, on a connection of its own as Kubernetes makes it."""
    took, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        path = ("livez", "readyz")[len(took) % 2]
        started = time.perf_counter()
        urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30).close()
        took.append(1000 * (time.perf_counter() - started))
        time.sleep(EVERY_SECONDS)
    return took


async def upload(port: int, clients: int, seconds: float) -> None:
    """So many connections, each sending one photo after another; prints the statuses."""
    photo = np.asarray(picture(3, (500, 375)).resize((4000, 3000)), np.float32)
    photo += np.random.default_rng(1).normal(0, 6, photo.shape)  # a sensor's noise: a photo of several megabytes
    request = form(encoded(Image.fromarray(photo.clip(0, 255).astype(np.uint8)), quality=88))
    statuses, until = Counter[int](), time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < until:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            answer = await reader.read()
            statuses[int(answer.split(b" ", 2)[1]) if answer else 0] += 1
            writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    print(f"{dict(statuses)} of {len(request) / 1e6:.1f} MB")


def percentile(values: list[float], share: int) -> float:
    return sorted(values)[min(len(values) - 1, math.ceil(len(values) * share / 100))]


def told(took: list[float]) -> str:
    return (f"p50 {percentile(took, 50):.1f}, p99 {percentile(took, 99):.1f}, longest {max(took):.1f} ms of "
            f"{len(took)} probes")


if __name__ == "__main__":
    main()
