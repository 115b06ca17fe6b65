"""Push and pull of many small photos against a server with 20 ms a request: ours, one object a photo, and `dvc push`.

Every figure is the wall time of a whole command, its start included. `--part` measures one of the three and keeps the
figures of the others (benchmarks/versions.json), so that each run stays short; the table is written to
benchmarks/VERSIONS.md.
"""

import argparse
import filecmp
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FIGURES, TABLE = HERE / "versions.json", HERE / "VERSIONS.md"
DELAY_MS = 20
PHOTOS, NEW = 16_000, 160
REPEATS, DVC_REPEATS = 5, 3  # of an unchanged push; the median counts
STEPS = ("first push", "unchanged push", "push with 1 % new", "pull")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="zip of real photos; without it, random bytes of the same sizes")
    parser.add_argument("--part", choices=PARTS, help="measure only this (default: all, one after the other)")
    parser.add_argument("--again", action="store_true", help="measure what is in benchmarks/versions.json once more")
    arguments = parser.parse_args()
    for name, measure in PARTS.items():
        if arguments.part in (None, name):
            if arguments.again:
                forget(name)
            work = Path(tempfile.mkdtemp(prefix="catsdogs-versions-"))
            try:
                with server() as port:
                    about = {"dates": saved().get("dates", {}) | {name: str(date.today())}}
                    save({name: measure(work, arguments.photos, environment(port)), **about,
                          "photos": arguments.photos.name if arguments.photos else "random bytes"})
            finally:
                shutil.rmtree(work)
    figures = saved()
    if figures.get("dates", {}).keys() >= PARTS.keys():
        TABLE.write_text(table(figures))
        print(table(figures))


def saved() -> dict[str, Any]:
    return json.loads(FIGURES.read_text()) if FIGURES.exists() else {}


def save(new: dict[str, Any]) -> None:
    FIGURES.write_text(json.dumps(saved() | new, indent=2) + "\n")


def forget(part: str) -> None:
    figures = saved()
    figures.pop(part, None)
    figures.get("dates", {}).pop(part, None)
    FIGURES.write_text(json.dumps(figures, indent=2) + "\n")


def ours(work: Path, photos: Path | None, settings: dict[str, str]) -> dict[str, dict[str, float]]:
    folder, late = lay_out(work, photos, PHOTOS)
    time.sleep(3)  # files younger than two seconds are not remembered as unchanged
    program = [sys.executable, "-m", "catsdogs"]
    push = [*program, "push", "--bucket", "s3://b", "--stage", "ingested", "--json", "--commit"]
    found = {"first push": timed([*push, "v1"], work, settings)}
    again = [timed([*push, f"v2.{number}"], work, settings) for number in range(REPEATS)]  # short, so by chance long
    found["unchanged push"] = middle(again)
    add(late)
    found["push with 1 % new"] = timed([*push, "v3"], work, settings)
    fresh = [*push, "v4", "--cache-dir", "nothing-remembered"]
    found["unchanged push, another machine"] = timed(fresh, work, settings)
    pull = [*program, "pull", "--bucket", "s3://b", "--commit", "v3", "--data-dir", "back", "--json"]
    found["pull"] = timed(pull, work, settings)
    same(folder, work / "back" / "ingested")
    return found


def one_by_one(work: Path, photos: Path | None, settings: dict[str, str]) -> dict[str, dict[str, float]]:
    """Each step by itself: what is measured already is not measured again, so that a run can be cut short."""
    folder, late = lay_out(work, photos, PHOTOS)
    program = [sys.executable, str(HERE / "one_by_one.py")]
    found = saved().get("one-by-one", {})
    for step, commit in zip(STEPS[:3], ("v1", "v2", "v3"), strict=True):
        if commit == "v3":
            add(late)
        if step not in found or (commit == "v3" and "pull" not in found):
            found[step] = timed([*program, "push", "b", commit, str(folder)], work, settings)
            save({"one-by-one": found})
    if "pull" not in found:
        found["pull"] = timed([*program, "pull", "b", "v3", str(work / "back")], work, settings)
        same(folder, work / "back")
    return found


def dvc(work: Path, photos: Path | None, settings: dict[str, str]) -> dict[str, dict[str, float]]:
    """Only `dvc push` and `dvc fetch` are timed; hashing (`dvc add`) and linking (`checkout`) are left out, for it."""
    folder, late = lay_out(work, photos, PHOTOS)
    program = [sys.executable, "-m", "dvc"]
    for line in (["init", "--no-scm", "-q"], ["remote", "add", "-d", "store", "s3://b/dvc"],
                 ["remote", "modify", "store", "endpointurl", settings["AWS_ENDPOINT_URL"]],
                 ["config", "core.analytics", "false"], ["add", "-q", str(folder)]):
        subprocess.run([*program, *line], cwd=work, env=os.environ | settings, check=True)
    push = [*program, "push", "-q", "-j", "16"]
    found = {"first push": timed(push, work, settings)}
    found["unchanged push"] = middle([timed(push, work, settings) for _ in range(DVC_REPEATS)])
    add(late)
    subprocess.run([*program, "add", "-q", str(folder)], cwd=work, env=os.environ | settings, check=True)
    found["push with 1 % new"] = timed(push, work, settings)
    shutil.rmtree(work / ".dvc" / "cache")
    found["pull"] = timed([*program, "fetch", "-q", "-j", "16"], work, settings)
    return found


def middle(measured: list[dict[str, float]]) -> dict[str, float]:
    return sorted(measured, key=lambda one: one["seconds"])[len(measured) // 2]


def timed(line: list[str], work: Path, settings: dict[str, str]) -> dict[str, float]:
    print("$", *line[1:], flush=True)
    # Modules are compiled once, as pip leaves them; a shell that forbids it would have each command compile anew.
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    answer = subprocess.run(line, cwd=work, env=usual | settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)
    seconds = time.perf_counter() - started
    if answer.returncode:
        sys.exit(f"ended with {answer.returncode}:\n{answer.stdout}{answer.stderr}")
    found = {"seconds": seconds}
    if "--json" in line:
        result = json.loads(answer.stdout)
        found |= {"inside": result["seconds"], "requests": result["requests"]}
    print(f"  {found}", flush=True)
    return found


def lay_out(work: Path, photos: Path | None, count: int) -> tuple[Path, list[tuple[Path, bytes]]]:
    """A folder as ingest leaves it, without its last hundredth, which is returned."""
    folder = work / "data" / "ingested"
    files = []
    for number, data in enumerate(contents(photos, count)):
        files.append((folder / ("cat", "dog")[number % 2] / f"{hashlib.sha256(data).hexdigest()}.jpg", data))
    late = files[count - count * NEW // PHOTOS:]
    add(files[:len(files) - len(late)])
    (folder / "manifest.csv").write_text("digest,source\n")
    return folder, late


def contents(photos: Path | None, count: int) -> Iterator[bytes]:
    if photos is None:
        generator = random.Random(0)
        yield from (generator.randbytes(generator.randrange(4_000, 10_000)) for _ in range(count))
        return
    with zipfile.ZipFile(photos) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        yield from (archive.read(names[number]) for number in range(count))


def add(files: list[tuple[Path, bytes]]) -> None:
    for path, data in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def same(one: Path, other: Path) -> None:
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert all(filecmp.cmp(one / name, other / name, shallow=False) for name in names)


@contextmanager
def server() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([sys.executable, str(HERE / "slow_s3.py"), str(port), str(DELAY_MS)])
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def environment(port: int) -> dict[str, str]:
    # Without the second line boto3 and DVC would add checksums in a framing that this server does not read.
    return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "k",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required", "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}


def table(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    dates = ", ".join(sorted(set(figures["dates"].values())))
    lines = [
        "# Versions: results of benchmarks/versions.py", "",
        f"{dates}, {PHOTOS:,} photos ({figures['photos']}), {DELAY_MS} ms a request (benchmarks/slow_s3.py), wall "
        f"seconds of whole commands, of an unchanged push the median of {REPEATS} (DVC: {DVC_REPEATS}). One object a "
        "photo: boto3 with 16 threads (benchmarks/one_by_one.py), which sends all of a commit every time. DVC: "
        "`-j 16`, its own push and fetch only.", "",
        "| | ours | requests | one object a photo | dvc | ours is faster by | than dvc |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for step in STEPS:
        mine, plain, other = (figures[name][step]["seconds"] for name in PARTS)
        inside = figures["ours"][step]["inside"]
        lines.append(f"| {step} | {mine:.2f} s ({inside:.2f} s after Python's start) | "
                     f"{figures['ours'][step]['requests']:.0f} | {plain:.1f} s | {other:.1f} s | "
                     f"{plain / mine:.0f}x ({plain / inside:.0f}x) | {other / mine:.0f}x |")
    fresh = figures["ours"]["unchanged push, another machine"]
    lines.append(f"| unchanged push, nothing remembered | {fresh['seconds']:.2f} s ({fresh['inside']:.2f} s) | "
                 f"{fresh['requests']:.0f} | | | | |")
    return "\n".join(lines) + "\n"


PARTS = {"ours": ours, "one-by-one": one_by_one, "dvc": dvc}


if __name__ == "__main__":
    main()
