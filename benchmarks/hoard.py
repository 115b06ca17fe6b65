"""How much memory strangers can make a process hold: each way alone, then all of them at once, at the real server with
the limits that it comes with, one process and one thread as in a pod of Kubernetes (k8s/base/deployment.yaml: 1 GiB).
Probes must be answered meanwhile. Writes benchmarks/HOARD.md."""

import argparse
import json
import platform
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from run import processor  # noqa: E402
from tests.models import colour_photos, write_model  # noqa: E402
from tests.photos import encoded  # noqa: E402
from tests.serve.malformed import form, memory  # noqa: E402
from tests.servers import free_port, running  # noqa: E402

SUMMARY = HERE / "HOARD.md"
MOST = 1000e6
"""Of the 1,074 MB that a pod has; files that are mapped do not count, for they go when room is needed."""
SAMPLE_SECONDS, PROBE_SECONDS, PATIENCE = 0.005, 0.1, 60.0
HOLD_SECONDS = 5.0

Way = Callable[[int, ExitStack], None]


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    ways: dict[str, Way] = {
        "nothing": lambda port, held: time.sleep(1), "uploads whose last byte is held back": uploads,
        "heads that never end": heads, "answers that nobody reads": unread, "lists of JSON, sixty at once": lists,
        "photos that take much memory": photos, "all of it at once": together,
    }
    rows, passed = [], True
    with tempfile.TemporaryDirectory() as folder:
        model = write_model(Path(folder), colour_photos())
        for name, way in ways.items():
            row, good = measured(name, way, model)
            rows.append(row)
            print(row, flush=True)
            passed = passed and good
    SUMMARY.write_text(summary(rows))
    sys.exit(not passed)


def measured(name: str, way: Way, model: Path) -> tuple[list[str], bool]:
    port, peak, took, bad = free_port(), [0], list[float](), list[str]()
    command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", str(port),
               "--processes", "1", "--threads", "1", "--model-path", str(model)]
    with running(command, port) as process:
        threading.Thread(target=process.stderr.read, daemon=True).start()  # type: ignore[union-attr]
        ended = threading.Event()

        def watch() -> None:
            with suppress(OSError, ValueError, KeyError):  # it was killed
                while not ended.wait(SAMPLE_SECONDS):
                    peak[0] = max(peak[0], memory(process.pid))

        def probe() -> None:
            while not ended.wait(PROBE_SECONDS):
                started = time.perf_counter()
                try:
                    with socket.create_connection(("127.0.0.1", port), 5) as client:
                        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                        status = client.recv(12)[9:].decode()
                except OSError as error:
                    status = str(error)
                took.append(1000 * (time.perf_counter() - started))
                if status != "200":
                    bad.append(status)

        watching = [threading.Thread(target=work) for work in (watch, probe)]
        for thread in watching:
            thread.start()
        with ExitStack() as held:
            way(port, held)
            time.sleep(HOLD_SECONDS)
        ended.set()
        for thread in watching:
            thread.join()
        crashed = process.poll() is not None
    row = [name, f"{peak[0] / 1e6:.0f} MB", str(len(took)), f"{np.percentile(took, 99):.0f} ms", f"{max(took):.0f} ms",
           ", ".join(sorted(set(bad))) or "none", "yes" if crashed else "no"]
    return row, peak[0] < MOST and not bad and not crashed


def connected(port: int, held: ExitStack, receives: int | None = None) -> socket.socket:
    client = held.enter_context(socket.socket())
    if receives:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", port))
    return client


def many(count: int, port: int, held: ExitStack, request: bytes, receives: int | None = None) -> None:
    for _ in range(count):
        with suppress(OSError):  # it refuses, or sends away
            connected(port, held, receives).sendall(request)


def uploads(port: int, held: ExitStack) -> None:
    many(400, port, held, form(bytes(900_000))[:-1])


def heads(port: int, held: ExitStack, count: int = 1500) -> None:
    lines = b"".join(b"a%d:b\r\n" % number for number in range(1500))
    many(count, port, held, b"GET / HTTP/1.1\r\nHost: x\r\n" + lines)


def unread(port: int, held: ExitStack) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    many(300, port, held, form(encoded(Image.fromarray(noise), "JPEG"), "/explain?format=png"), receives=2048)


def lists(port: int, held: ExitStack) -> None:
    body = json.dumps({"inputs": [{"name": "pixels", "shape": [1, 8, 8, 3], "datatype": "UINT8",
                                   "data": [{"": 0}] * 79_000}]}, separators=(",", ":")).encode()
    head = "POST /v2/models/catsdogs/infer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    many(60, port, held, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def photos(port: int, held: ExitStack) -> None:
    """One after the other, for a thread works at one photo at a time: the largest of each kind that are taken, and some
    that took most before their memory was counted."""
    turned = Image.Exif()
    turned[0x0112] = 6
    colour, see_through = (10, 200, 30), (10, 200, 30, 90)
    makers: list[Callable[[], bytes]] = [
        lambda: encoded(Image.new("RGBA", (7050, 7050), see_through), "PNG", exif=turned, compress_level=1),
        lambda: encoded(Image.new("RGBA", (190_000, 256), see_through), "PNG", compress_level=1),
        lambda: encoded(Image.new("I;16", (7900, 7900), 300), "PNG"),
        lambda: encoded(Image.new("RGB", (7990, 7990), colour), "JPEG", progressive=True, subsampling=0),
        lambda: encoded(Image.new("RGB", (65_500, 600), colour), "JPEG", progressive=True, subsampling=0),
        lambda: encoded(Image.new("RGBA", (4990, 4990), see_through), "WEBP", lossless=True, quality=0, method=0),
        lambda: encoded(Image.new("RGBA", (7500, 7500), see_through), "GIF"),
        lambda: encoded(Image.new("RGBA", (250_000, 256), see_through), "PNG", compress_level=1),
        lambda: encoded(Image.new("RGB", (65_500, 976), colour), "JPEG", progressive=True, subsampling=0),
        lambda: encoded(Image.new("RGBA", (7900, 7900), see_through), "WEBP", lossless=True, quality=0, method=0),
    ]
    for make in makers:
        photo = make()
        for path in ("/predict", "/explain?format=png"):
            with suppress(OSError):
                client = connected(port, held)
                client.sendall(form(photo, path))
                client.recv(100)


def together(port: int, held: ExitStack) -> None:
    """On fewer connections than those from which on only probes are answered."""
    uploads(port, held)
    unread(port, held)
    heads(port, held, 200)
    working = [threading.Thread(target=way, args=(port, held)) for way in (lists, photos)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()


def summary(rows: list[list[str]]) -> str:
    head = ["what strangers do", "most memory", "probes", "p99", "longest", "answered otherwise", "crashed"]
    lines = ["# What strangers can make a process hold", "", f"`python benchmarks/hoard.py`, {date.today()}, "
             f"{processor()}, Python {platform.python_version()}. One process and one thread, with the limits that it "
             "comes with; memory is anonymous (RssAnon), of the 1,074 MB that a pod has. The strangers are on the same "
             "machine.", "",
             "| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


if __name__ == "__main__":
    main()
