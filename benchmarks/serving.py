"""`make bench-serving`: `catsdogs serve` beside what a user would pick instead, writes benchmarks/SERVING.md.

Every round starts each server afresh, one after the other, and asks it with 8 and with 32 clients, so that a machine
that slows down slows all of them. Goes on where it stopped: a line a server and round in benchmarks/serving.jsonl.
"""

import argparse
import hashlib
import json
import signal
import socket
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from contestants import CONTESTANTS, MODELS, PEERS, ROOT, Contestant, install, installed_bytes, missing_program, running
from load import TooBusy, burst, memory, probabilities
from prepare import answered_by_torch, drawn, in_floats, photos_of, trained
from report import summary
from sideways import explaining, probing

HERE = Path(__file__).parent
LINES, SUMMARY = HERE / "serving.jsonl", HERE / "SERVING.md"
WORK = ROOT / "build" / "serving"
CLIENTS = (8, 32)
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="zip or folder of real photos, a folder per class; else drawn")
    parser.add_argument("--model", type=Path, help="model.pt of `fast` that was trained properly; without it, an epoch")
    parser.add_argument("--pretrained", type=Path,
                        help="model.pt of pretrained:efficientnet-lite0, to show what its accuracy costs")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=int, default=4, help="of each burst")
    parser.add_argument("--only", default="", help="names of servers, with commas")
    parser.add_argument("--most-runs", type=int, default=10**6, help="stop after as many; the next call goes on")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that the server of the moment ends too
    if missing := missing_program():
        sys.exit(f"make bench-serving: {missing}")
    if arguments.fresh:
        LINES.unlink(missing_ok=True)
    install()
    source = arguments.photos or drawn(WORK)
    work = WORK / hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:8]
    files = photos_of(source, work / "photos")
    photos = [file.read_bytes() for file in files]
    fast = arguments.model or trained(source, "fast", work)
    baseline = trained(source, "baseline", work)
    # Servers start in other folders.
    models = dict(zip(MODELS, (baseline, in_floats(baseline, work), fast.resolve(),
                               *([arguments.pretrained.resolve()] if arguments.pretrained else [])), strict=False))
    key = _key(models, arguments.seconds)
    rows = _rows(key)
    expected = {name: answered_by_torch(model, photos, work) for name, model in models.items()}
    runs = 0
    for round_number in range(arguments.rounds):
        for contestant in (one for one in CONTESTANTS if one.model in models):
            done = any((row["round"], row["server"]) == (round_number, contestant.name) for row in rows)
            if done or (arguments.only and contestant.name not in arguments.only.split(",")):
                continue
            if runs == arguments.most_runs:
                sys.exit("stopped before the end: call again to go on")
            try:
                row = measured(contestant, models[contestant.model], files, photos, *expected[contestant.model],
                               arguments.seconds)
            except TooBusy as busy:
                sys.exit(f"{contestant.name}: {busy} Too much else runs on this machine: call again to go on.")
            rows.append({"key": key, "round": round_number, "server": contestant.name, **row})
            with LINES.open("a") as lines:
                lines.write(json.dumps(rows[-1]) + "\n")
            print(json.dumps(rows[-1]), flush=True)
            runs += 1
    text, passed = summary(rows, models, source.name, installed_bytes(), proper=bool(arguments.model))
    if not arguments.only:  # of some servers alone it would be a torso
        SUMMARY.write_text(text)
    print(text)
    sys.exit(not passed)


def measured(
    contestant: Contestant, model: Path, files: list[Path], photos: list[bytes], classes: list[str],
    expected: list[list[float]], seconds: int,
) -> dict[str, object]:
    """One server, started afresh: how soon, how right, how fast, how large."""
    port = _free_port()
    label = classes[int(np.argmax(expected[0]))]
    with running(contestant, model, port, photos[0], label) as (process, cold):
        apart = np.abs(np.subtract(probabilities(port, photos, classes), expected))
        burst(port, process.pid, files, max(CLIENTS), 2)  # in one second the slowest have not answered every client
        row: dict[str, object] = {"cold_seconds": cold, "largest_difference": float(apart.max())}
        for clients in CLIENTS:
            row[f"clients_{clients}"] = asdict(burst(port, process.pid, files, clients, seconds))
        row["memory"] = asdict(memory(process.pid))
        if contestant.name == "ours-fast":
            row["explain"] = explaining(port, photos)
            row["probes"] = probing(port, process.pid, photos[0], WORK / "large.jpg")
    return row


def _key(models: dict[str, Path], seconds: int) -> str:
    """Of everything that a figure depends on: what was measured of other code or models is not mixed in."""
    digest = hashlib.sha256(f"{seconds}".encode())
    for path in sorted([*models.values(), *PEERS.glob("*.*"), ROOT / "constraints.txt", *HERE.glob("*.lua"),
                        *(ROOT / "src").rglob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _rows(key: str) -> list[dict]:
    lines = LINES.read_text().splitlines() if LINES.exists() else []
    return [row for row in map(json.loads, lines) if row["key"] == key]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
