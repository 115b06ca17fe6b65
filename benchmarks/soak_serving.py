"""The long proof of the service, second part of `make soak`: malformed uploads by the ten thousand, then sound ones, at
the real server. Nothing may be answered with a 5xx but 503 and 504, photos that would be decoded for seconds or hours,
or take most of the memory, must all be refused, nothing may crash, and memory must stay flat.
Writes benchmarks/SOAK_SERVING.md."""

import argparse
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402

from catsdogs.images import encode  # noqa: E402
from tests.models import colour_photo, colour_photos, write_model  # noqa: E402
from tests.serve.malformed import GRACE, Sender, bombard, burden, form, memory, requests  # noqa: E402
from tests.servers import free_port, running  # noqa: E402

COSTLY = "photos that take long to decode"
SUMMARY = HERE / "SOAK_SERVING.md"
MOST_GROWTH = 0.05
"""Of a process's own memory, between the first tenth of a phase and its end."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=10_000, help="damaged photos to send")
    parser.add_argument("--costly", type=int, default=840, help="photos to send that would be decoded for long")
    parser.add_argument("--requests", type=int, default=10_000, help="requests to send that are nearly HTTP")
    parser.add_argument("--sound", type=int, default=20_000, help="sound photos to send")
    arguments = parser.parse_args()
    port, rows, passed = free_port(), [], True
    with tempfile.TemporaryDirectory() as folder:
        model = write_model(Path(folder), colour_photos())
        command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", str(port),
                   "--model-path", str(model), "--body-seconds", "3"]
        with running(command, port) as process:
            threading.Thread(target=process.stderr.read, daemon=True).start()  # type: ignore[union-attr]
            for name, count, phase in (
                ("damaged photos", arguments.photos, damaged), (COSTLY, arguments.costly, costly),
                ("nearly HTTP", arguments.requests, nearly_http), ("sound photos", arguments.sound, sound),
            ):
                row, good = measured(name, count, phase, port, process)
                rows.append(row)
                print(row, flush=True)
                passed = passed and good
    SUMMARY.write_text(summary(rows))
    sys.exit(not passed)


def measured(
    name: str, count: int, phase: Callable[[Sender, int, int], None], port: int, process: subprocess.Popen[bytes]
) -> tuple[list[str], bool]:
    sender, started = Sender(port), time.monotonic()
    phase(sender, count // 10, 1)
    before = memory(process.pid)
    phase(sender, count - count // 10, 2)
    after, crashed = memory(process.pid), process.poll() is not None
    bad = sum(times for status, times in sender.statuses.items() if status >= 500 and status not in GRACE)
    growth = after / before - 1
    statuses = ", ".join(f"{status or 'closed'}: {times:,}" for status, times in sorted(sender.statuses.items()))
    if sender.first_bad:
        print("first bad request:", sender.first_bad[:2000])
    row = [name, f"{sum(sender.statuses.values()):,}", statuses, str(bad), "yes" if crashed else "no",
           f"{before / 1e6:.0f} MB", f"{after / 1e6:.0f} MB ({growth:+.1%})", f"{time.monotonic() - started:.0f} s"]
    refused = name != COSTLY or set(sender.statuses) == {400, 413}
    return row, refused and not bad and not crashed and growth < MOST_GROWTH


def damaged(sender: Sender, count: int, seed: int) -> None:
    bombard(sender.send, count, seed)


def costly(sender: Sender, count: int, seed: int) -> None:
    burden(sender.send, count)


def nearly_http(sender: Sender, count: int, seed: int) -> None:
    sender.patience = 0.05

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck),
              phases=[Phase.generate])
    @given(requests())
    def sent(request: bytes) -> None:
        sender.send(request)

    sent()


def sound(sender: Sender, count: int, seed: int) -> None:
    requests = [form(encode(colour_photo(number % 2, number))) for number in range(64)]
    for number in range(count):
        sender.send(requests[number % len(requests)])


def summary(rows: list[list[str]]) -> str:
    head = ["phase", "requests", "answers", "5xx but 503, 504", "crashed", "memory after a tenth", "at the end", "time"]
    lines = ["# The service under fire", "", f"`python benchmarks/soak_serving.py`, {date.today()}, Python "
             f"{platform.python_version()}. A process a core, one client; memory is anonymous (RssAnon), of all.", "",
             "| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


if __name__ == "__main__":
    main()
