"""One round of hardship: push, kill, push, pull, kill, pull, verify, through a proxy that spoils answers."""

import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.buckets import environment
from tests.faults import Faults
from tests.versions.folders import tree, write_stage

COMMON = ["--stall-seconds", "1", "--transfers", "16"]
LONGEST = 300.0  # seconds of one command
# What a command imports before it can do anything: loaded once, so that a round is not mostly Python starting.
PRELOADED = ["catsdogs.cli", "catsdogs.settings.versions", "catsdogs.versions.push", "catsdogs.versions.pull",
             "catsdogs.versions.verify", "catsdogs.stores.gcs", "catsdogs.stores.s3"]


def _command(arguments: list[str], folder: str, extra: dict[str, str], said: str) -> None:
    from catsdogs.cli import main

    os.chdir(folder)
    os.environ.update(extra)
    sys.stdout = sys.stderr = open(said, "w")  # noqa: SIM115  (the process ends with it)
    status = main(arguments)
    sys.stdout.flush()
    os._exit(status)


def run(arguments: list[str], root: Path, extra: dict[str, str], done: Callable[[], int],
        kill_at: int | None = None) -> bool:
    """Whether it ended well by itself; killed (SIGKILL) once it has `done` so much more. Raises where it fails."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    said = root / "said.txt"
    process = context.Process(target=_command, args=(arguments, str(root), extra, str(said)))
    before, started = done(), time.monotonic()
    process.start()
    try:
        while process.is_alive():
            if kill_at is not None and done() - before >= kill_at:
                return False
            assert time.monotonic() - started < LONGEST, f"{arguments} hangs: {said.read_text()}"
            process.join(0.005 if kill_at is None else 0.001)
    finally:
        process.kill()
        process.join()
    assert process.exitcode == 0, f"{arguments} ended with {process.exitcode}: {said.read_text()}"
    return True


def hardship(root: Path, kind: str, bucket: str, faults: Faults | None, seed: int, photos: int = 120,
             versions: tuple[str, ...] = ("c1", "c2")) -> dict[str, object]:
    """Each version is pushed and pulled, every command killed somewhere and run again. Raises AssertionError where a
    byte is lost. Returns what happened. A folder has no requests to count and to spoil: there the files are counted."""
    generator = random.Random(seed)
    extra = environment(kind, faults.port if faults else 0)

    def done() -> int:
        return len(faults.requests) if faults else sum(len(names) for _, _, names in os.walk(root) if names)

    started, killed = time.monotonic(), 0
    first = (seed * 1000) % 1_000_000
    for version in versions:
        folder = write_stage(root / "data", photos if version == "c1" else photos // 10,
                             first=first if version == "c1" else first + photos)
        common = ["--bucket", bucket, "--commit", version, *COMMON]
        push = ["push", *common, "--pack-megabytes", "0.02",
                *(["--unpacked"] if seed % 5 == 0 and version == "c2" else [])]
        pull = ["pull", *common, "--data-dir", f"{version}/data"]
        for line in (push, pull):
            for _ in range(2):
                killed += not run(line, root, extra, done, kill_at=generator.randrange(1, 25))
            run(line, root, extra, done)
        assert tree(root / version / "data" / "ingested") == tree(folder), f"{version}: other bytes came back"
    for version in versions:
        run(["verify", "--bucket", bucket, "--commit", version, *COMMON], root, extra, done)
    return {"seed": seed, "kind": kind, "killed": killed, "seconds": round(time.monotonic() - started, 1)}
