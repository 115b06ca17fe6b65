"""`make bench`: the stages on real photos, training beside the plain recipe, written to benchmarks/RESULTS.md.

Runs in turn, ours and the plain recipe one after the other, so that a machine that slows down slows both.
"""

import argparse
import json
import platform
import shutil
import statistics
import sys
import tempfile
from datetime import date
from pathlib import Path

from measure import Measured, measure

from catsdogs.machine import cores

HERE = Path(__file__).parent
PAIRS = 3


def stage(*arguments: object) -> tuple[dict[str, object], Measured]:
    command = [sys.executable, "-m", "catsdogs", *map(str, arguments), "--json"]
    print("$ catsdogs", *arguments, flush=True)
    measured = measure(command)
    return json.loads(measured.output), measured


def training(recipe: str, data_dir: Path) -> tuple[float, Measured]:
    print(f"$ benchmarks/training.py {recipe}", flush=True)
    measured = measure([sys.executable, str(HERE / "training.py"), recipe, "--data-dir", str(data_dir)])
    return json.loads(measured.output)["images_per_second"], measured


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line for line in lines if line.startswith("flags")), "")
    widest = next((flag for flag in ("amx_tile", "avx512f", "avx2") if flag in flags), "no AVX2")
    speed = next((float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")), 0.0)
    at = f" at {speed / 1000:.1f} GHz" if speed else ""
    return f"{cores()} cores of {name}{at} ({widest})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="zip or folder of real photos; without it, photos are drawn")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="catsdogs-bench-"))
    try:
        rows = measure_all(arguments.photos, work)
    finally:
        shutil.rmtree(work)
    kind = f"real photos ({arguments.photos.name})" if arguments.photos else "drawn photos"
    head = [
        "# Results of `make bench`", "",
        f"{date.today()}, {processor()}, Python {platform.python_version()}, on {kind}. Memory is the peak of all "
        "processes together, file-backed maps not counted. Beside this: [TRAINING.md](TRAINING.md) and "
        "[TRAINING_EARLIER.md](TRAINING_EARLIER.md) (accuracy within a time), [SERVING.md](SERVING.md) and "
        "[SERVING_VNNI.md](SERVING_VNNI.md), [SERVING_AVX2.md](SERVING_AVX2.md), "
        "[ANSWER.md](ANSWER.md), [VERSIONS.md](VERSIONS.md), [DOCTOR.md](DOCTOR.md), "
        "[UNFAMILIAR.md](UNFAMILIAR.md) and the soaks.", "",
        "| what | figure | seconds | peak memory |", "| --- | --- | --- | --- |",
    ]
    text = "\n".join([*head, *rows]) + "\n"
    (HERE / "RESULTS.md").write_text(text)
    print(text)


def measure_all(photos: Path | None, work: Path) -> list[str]:
    rows = []

    def row(what: str, figure: str, measured: Measured | None) -> None:
        seconds = f"{measured.seconds:.1f}" if measured else ""
        memory = f"{measured.peak_bytes / 1e6:,.0f} MB" if measured else ""
        rows.append(f"| {what} | {figure} | {seconds} | {memory} |")

    if photos is None:
        photos = work / "raw"
        stage("sample", "--output-dir", photos, "--per-class", 1000)
    source = "--zip-path" if photos.is_file() else "--source-dir"
    for what in ("ingest", "ingest, again"):
        answer, measured = stage("ingest", source, photos, "--output-dir", work / "ingested")
        row(what, f"{answer['files'] / measured.seconds:,.0f} photos/s of {answer['files']:,}", measured)
    for what in ("preprocess to 224 px", "preprocess, again"):
        answer, measured = stage("preprocess", "--input-dir", work / "ingested", "--output-dir", work / "processed")
        count = sum(sum(classes.values()) for classes in answer["counts"].values())
        row(what, f"{count / measured.seconds:,.0f} photos/s of {count:,}", measured)
    speeds: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(PAIRS):
        for recipe, values in speeds.items():
            speed, measured = training(recipe, work / "processed")
            values.append(speed)
            peak = measured
        row("training `baseline` at 224 px, one pair", f"{speeds['ours'][-1]:.1f} images/s, plain recipe "
            f"{speeds['plain'][-1]:.1f}", peak)
    ratios = [a / b for a, b in zip(speeds["ours"], speeds["plain"], strict=True)]
    row("**training, median**", f"**{statistics.median(speeds['ours']):.1f} images/s**, plain recipe "
        f"{statistics.median(speeds['plain']):.1f}, ratio {statistics.median(ratios):.1f} "
        f"({min(ratios):.1f} to {max(ratios):.1f})", None)
    return rows


if __name__ == "__main__":
    main()
