"""One round of hardship: push, kill, push, kill, pull, kill, pull, verify, through a proxy that spoils answers."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.buckets import environment
from tests.versions.folders import tree, write_stage

COMMON = ["--stall-seconds", "1", "--transfers", "16"]


def command(root: Path, bucket: str, verb: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "catsdogs", verb, "--bucket", bucket, *COMMON, *more]


def run(line: list[str], root: Path, extra: dict[str, str], kill_after: float | None = None) -> bool:
    """Whether it ended by itself, well; killed without warning otherwise. Raises where it fails."""
    with subprocess.Popen(line, cwd=root, env=os.environ | extra, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        try:
            output, error = process.communicate(timeout=300 if kill_after is None else kill_after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            if kill_after is None:
                raise
            return False
    if process.returncode:
        raise AssertionError(f"{' '.join(line)} ended with {process.returncode}: {output}{error}")
    return True


def hardship(root: Path, kind: str, bucket: str, port: int, seed: int, photos: int = 120,
             versions: tuple[str, ...] = ("c1", "c2")) -> dict[str, object]:
    """Two versions through two kills each way; raises AssertionError where a byte is lost. Returns what happened."""
    generator = random.Random(seed)
    extra = environment(kind, port) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    started, killed = time.monotonic(), 0
    first = (seed * 1000) % 1_000_000
    for version in versions:
        folder = write_stage(root / "data", photos if version == "c1" else photos // 10,
                             first=first if version == "c1" else first + photos)
        push = command(root, bucket, "push", "--commit", version, "--pack-megabytes", "0.05",
                       *(["--unpacked"] if seed % 5 == 0 and version == "c2" else []))
        pull = command(root, bucket, "pull", "--commit", version, "--data-dir", f"{version}/data")
        for line in (push, pull):
            killed += not run(line, root, extra, kill_after=generator.uniform(0.3, 3.0))
            run(line, root, extra)
        assert tree(root / version / "data" / "ingested") == tree(folder), f"{version}: other bytes came back"
    for version in versions:
        run(command(root, bucket, "verify", "--commit", version), root, extra)
    return {"seed": seed, "kind": kind, "killed": killed, "seconds": round(time.monotonic() - started, 1)}
