"""What else the service promises: a heat map costs little more, and probes are answered under large uploads."""

import io
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from load import Asking, burst
from PIL import Image

LARGE = (4000, 3000)
UPLOADERS = 64
UPLOAD_SECONDS = 6
BETWEEN_PROBES = 0.02
NOISE = 6.0  # levels


def explaining(port: int, photos: list[bytes]) -> dict[str, float]:
    """Milliseconds that /explain takes more than /predict of the same photo, one after the other."""
    more = []
    with closing(Asking(port)) as asking:
        asking.predict(photos[0], "/explain")  # compiles it
        for photo in photos[:100]:
            took = [_timed(asking, photo, path) for path in ("/predict", "/explain")]
            more.append(1000 * (took[1] - took[0]))
    return {"median_ms": float(np.median(more)), "p99_ms": float(np.percentile(more, 99))}


def _timed(asking: Asking, photo: bytes, path: str) -> float:
    started = time.perf_counter()
    status, body = asking.predict(photo, path)
    if status != 200:
        raise RuntimeError(f"{path} answered {status}: {body[:200]!r}")
    return time.perf_counter() - started


def probing(port: int, pid: int, photo: bytes, large: Path) -> dict[str, float]:
    """How fast /livez and /readyz answer, on connections of their own, while 64 clients upload 12-megapixel photos."""
    if not large.exists():
        _enlarged(photo, large)
    took: list[float] = []
    bad: list[int] = []
    ended = threading.Event()

    def probe() -> None:
        while not ended.wait(BETWEEN_PROBES):
            for path in ("/livez", "/readyz"):
                started = time.perf_counter()
                with closing(Asking(port)) as asking:
                    status = asking.get(path)
                took.append(1000 * (time.perf_counter() - started))
                if status != 200:
                    bad.append(status)

    prober = threading.Thread(target=probe)
    prober.start()
    try:
        uploads = burst(port, pid, [large], UPLOADERS, UPLOAD_SECONDS)
    finally:
        ended.set()
        prober.join()
    return {"probes": len(took), "bad": len(bad), "median_ms": float(np.median(took)),
            "p99_ms": float(np.percentile(took, 99)), "largest_ms": max(took), "upload_bytes": large.stat().st_size,
            "answered": uploads.answered, "refused": uploads.refused, "broken": uploads.broken}


def _enlarged(photo: bytes, path: Path) -> None:
    """With a sensor's noise: of several megabytes, as photos of that size are."""
    with Image.open(io.BytesIO(photo)) as image:
        pixels = np.asarray(image.convert("RGB").resize(LARGE, Image.Resampling.BICUBIC), np.float32)
    noise = np.random.default_rng(1).normal(0, NOISE, pixels.shape).astype(np.float32)
    Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(path, "JPEG", quality=88)
