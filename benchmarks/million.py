"""The long proof of the service, third part of `make soak`: a million requests in a row to one server, which must
answer all of them and whose memory must grow by less than 5 %.

The server goes on between calls, so the proof may be made in pieces: `--most-seconds 240` stops after as many, and the
same command goes on. Writes benchmarks/MILLION.md.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from load import burst, first_answer, memory  # noqa: E402
from run import processor  # noqa: E402

from catsdogs.images import encode  # noqa: E402
from tests.models import colour_photo, colour_photos, write_model  # noqa: E402
from tests.photos import encoded, picture  # noqa: E402

WORK = HERE.parent / "build" / "million"
STATE, SUMMARY = WORK / "state.json", HERE / "MILLION.md"
CLIENTS, PIECE = 8, 10
SETTLED = 0.05
"""Memory is compared with what it was after this share of the requests: pools and caches have filled by then."""
MOST_GROWTH = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--most-seconds", type=float, default=float("inf"), help="stop after as many; call again")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    state = going_on() or begun()
    until = time.monotonic() + arguments.most_seconds
    while state["sent"] < arguments.requests:
        if time.monotonic() >= until:
            print(f"{state['sent']:,} of {arguments.requests:,} sent: call again to go on")
            return
        found = burst(state["port"], state["pid"], sorted(WORK.glob("*.jpg")), CLIENTS, PIECE)
        answered = round(found.per_second * PIECE)
        state["sent"] += answered
        state["seconds"] += PIECE
        state["lost"] += found.refused + found.broken
        state["memory"].append([state["sent"], memory(state["pid"]).total])
        STATE.write_text(json.dumps(state))
        print(f"{state['sent']:,}  {answered / PIECE:,.0f}/s  {state['memory'][-1][1] / 1e6:.1f} MB", flush=True)
    os.kill(state["pid"], signal.SIGTERM)
    STATE.unlink()
    text, passed = summary(state, arguments.requests)
    SUMMARY.write_text(text)
    print(text)
    sys.exit(not passed)


def begun() -> dict[str, Any]:
    """A new server that outlives this process, and the photos that it will be sent."""
    for seed in range(64):
        (WORK / f"{seed:02d}.jpg").write_bytes(encoded(picture(seed, (500, 375))))
    model = write_model(Path(tempfile.mkdtemp(dir=WORK)), colour_photos())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", str(port),
               "--model-path", str(model)]
    with open(os.devnull, "wb") as log:
        process = subprocess.Popen(command, stderr=log, start_new_session=True)
    first_answer(process, port, encode(colour_photo(0, 1)), "cat")
    return {"pid": process.pid, "started": _started(process.pid), "port": port, "sent": 0, "seconds": 0.0, "lost": 0,
            "memory": []}


def going_on() -> dict[str, Any] | None:
    """What an earlier call has left. Raises SystemExit where its server has ended: then the proof failed."""
    if not STATE.exists():
        return None
    state: dict[str, Any] = json.loads(STATE.read_text())
    if _started(state["pid"]) != state["started"]:
        STATE.unlink()
        sys.exit(f"The server ended after {state['sent']:,} requests; the next call begins anew.")
    return state


def _started(pid: int) -> str | None:
    """When a process began, in ticks: another one of the same number began at another time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def summary(state: dict[str, Any], wanted: int) -> tuple[str, bool]:
    settled = next(size for sent, size in state["memory"] if sent >= SETTLED * wanted)
    last = state["memory"][-1][1]
    growth = last / settled - 1
    passed = growth < MOST_GROWTH and not state["lost"]
    most = max(size for sent, size in state["memory"] if sent >= SETTLED * wanted)
    return "\n".join([
        "# A million requests in a row", "",
        f"`python benchmarks/million.py`, {date.today()}, {processor()}. One server, {CLIENTS} clients, photos of "
        "500 x 375 pixels; memory is anonymous, of all its processes.", "",
        "| requests | refused or broken | requests/s | memory after 5 % | at the end | at most | growth | passed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        f"| {state['sent']:,} | {state['lost']} | {state['sent'] / state['seconds']:,.0f} | {settled / 1e6:.1f} MB | "
        f"{last / 1e6:.1f} MB | {most / 1e6:.1f} MB | {growth:+.1%} | {'yes' if passed else 'no'} |"]) + "\n", passed


if __name__ == "__main__":
    main()
