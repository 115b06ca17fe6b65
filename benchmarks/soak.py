"""`make soak`: 200 rounds of push, kill, push, pull, kill, pull, verify, with 5 % of the requests failing in each of
seven ways. Goes on where it stopped (benchmarks/soak.jsonl, a line a round); the summary is benchmarks/SOAK.md."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.buckets import new_bucket, servers  # noqa: E402
from tests.faults import Faults, proxy  # noqa: E402
from tests.versions.rounds import hardship  # noqa: E402

ROUNDS, SHARE = 200, 0.05
LINES, SUMMARY = HERE / "soak.jsonl", HERE / "SOAK.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long; run again to go on")
    parser.add_argument("--at-once", type=int, default=1, help="rounds at a time: they mostly wait")
    parser.add_argument("--again", action="store_true", help="forget the rounds that were run, of an earlier commit")
    arguments = parser.parse_args()
    started = time.monotonic()
    if arguments.again:
        LINES.unlink(missing_ok=True)
    done = [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []
    code, waiting = commit(), deque(range(len(done), arguments.rounds))
    with ProcessPoolExecutor(arguments.at_once) as pool:
        running: deque[Future[dict[str, object]]] = deque()
        while running or waiting:
            late = time.monotonic() - started > arguments.minutes * 60 or any("lost" in line for line in done)
            while waiting and not late and len(running) < arguments.at_once:
                running.append(pool.submit(one_round, waiting.popleft()))
            if not running:
                break
            done.append(running.popleft().result() | {"commit": code})  # in order: a line is a round's number
            with LINES.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
            print(done[-1], flush=True)
    SUMMARY.write_text(summary(done))
    print(summary(done))
    sys.exit(any("lost" in line for line in done))


def one_round(number: int) -> dict[str, object]:
    """Fresh servers each time: the Google one slows down as objects pile up."""
    kind = ("gs", "s3")[number % 2]
    work = Path(tempfile.mkdtemp(prefix="catsdogs-soak-"))
    try:
        with servers() as running:
            faults = Faults(getattr(running, kind), share=SHARE, seed=number)
            with proxy(faults):
                try:
                    line = hardship(work, kind, new_bucket(kind, running, work), faults, number)
                except AssertionError as error:
                    line = {"seed": number, "kind": kind, "lost": str(error)}
        spoilt = {name: count for name, count in faults.seen.items() if name}
        return line | {"requests": len(faults.requests), "spoilt": spoilt}
    finally:
        shutil.rmtree(work)


def commit() -> str:
    """Of the code that runs, marked where the working tree differs from it."""
    line = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    return subprocess.run(line, cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()


def summary(done: list[dict[str, object]]) -> str:
    lost = [line for line in done if "lost" in line]
    spoilt: Counter[str] = Counter()
    for line in done:
        spoilt.update(line["spoilt"])  # type: ignore[arg-type]
    killed = sum(int(str(line.get("killed", 0))) for line in done)
    kinds = ", ".join(f"{name} {count:,}" for name, count in sorted(spoilt.items()))
    commits = Counter(str(line.get("commit", "unknown")) for line in done)
    return "\n".join([
        "# Result of `make soak`", "",
        f"{date.today()}: {len(done):,} of {ROUNDS} rounds, each two versions pushed and pulled; every command is "
        "killed up to twice (SIGKILL, once it has sent 1 to 24 requests) and then run to its end, the folders are "
        "compared byte for byte and verified; gcp-storage-emulator and moto_server in turn, behind a proxy.", "",
        "Code: " + ", ".join(f"{name} ({count:,} rounds)" for name, count in commits.items()) + ".", "",
        f"- {len(lost)} rounds lost or changed a byte, or failed" + "".join(f"; {line}" for line in lost),
        f"- {killed:,} commands killed before they ended",
        f"- {sum(int(str(line['requests'])) for line in done):,} requests, {sum(spoilt.values()):,} of them spoilt: "
        f"{kinds}", ""])


if __name__ == "__main__":
    main()
