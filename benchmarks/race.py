"""`make bench-training`: how accurate `fast` is after 19, 24 and 27 s, 5, 15 and 40 minutes, by itself and with a
teacher, beside the plain recipe, and what the teacher's own network makes of 5, 15 and 40 minutes.

Goes on where it stopped (a line a run in benchmarks/race.jsonl, with the processor it ran on and the digest of the
code: what other code did is measured anew); the summary is benchmarks/TRAINING.md, a table a processor. Wall clock is
of the whole command: imports, training from packed arrays, test, calibration and export.
"""

import argparse
import json
import statistics
import sys
from datetime import date
from pathlib import Path
from subprocess import CalledProcessError

from measure import measure
from run import processor

from catsdogs import integers
from catsdogs.predictor import read_card
from catsdogs.provenance import code_digest

HERE = Path(__file__).parent
LINES, SUMMARY = HERE / "race.jsonl", HERE / "TRAINING.md"
SHORT = ("19s", "24s", "27s")  # to pass what was published: the later ones are for slower processors
BUDGETS = (*SHORT, "5m", "15m", "40m")
TEACHER = "efficientnet-lite0"
VARIANTS = {  # name -> --model-variant, --teacher
    "fast": ("fast", ""), "fast taught": ("fast", TEACHER), "pretrained": (f"pretrained:{TEACHER}", ""),
}
RUNS = (*(("fast", budget) for budget in SHORT), ("fast", "5m"),
        ("fast taught", "5m"), ("fast taught", "15m"), ("fast taught", "40m"),
        ("pretrained", "5m"), ("pretrained", "15m"), ("pretrained", "40m"))
SIDES = {"fast": 112, "fast taught": 112, "pretrained": 192}
"""Of the served photos. The pretrained network was trained on 224 px, which take a third longer."""
SIDE_OF_SHORT = 64  # photos of 112 px would be seen twice
PUBLISHED = 0.668  # of the plain recipe's two epochs
EPOCHS_TO_PUBLISHED = 2
WHOLE = ("plain", "plain_accuracy")  # results of runs that have no budget
WRONG_USAGE = 2  # exit status, also of a budget that is too short


def side_of(variant: str, budget: str) -> int:
    return SIDE_OF_SHORT if budget in SHORT else SIDES[variant]


def catsdogs(*arguments: object) -> tuple[dict, float, int]:
    print("$ catsdogs", *arguments, flush=True)
    measured = measure([sys.executable, "-m", "catsdogs", *map(str, arguments), "--json"])
    return json.loads(measured.output), measured.seconds, measured.peak_bytes


def prepared(photos: Path, work: Path, side: int) -> Path:
    source = "--zip-path" if photos.is_file() else "--source-dir"
    catsdogs("ingest", source, photos, "--output-dir", work / "ingested")
    folder = work / f"processed-{side}"
    catsdogs("preprocess", "--input-dir", work / "ingested", "--output-dir", folder, "--image-size", side)
    return folder


def race(folder: Path, variant: str, budget: str, seed: int, batch: int, rate: float, work: Path) -> dict:
    network, teacher = VARIANTS[variant]
    answer, seconds, peak = catsdogs(
        "train", "--data-dir", folder, "--model-variant", network, "--teacher", teacher,
        "--time-budget", budget, "--seed", seed,
        "--batch-size", batch, "--learning-rate", rate, "--output-model", work / "model.pt",
        "--artifact-dir", work / "training", "--mlflow-tracking-uri", "none", "--no-resume")
    reduction = answer["lineage"]["parameters"].get("reduction", 1)  # of the photos, by the network
    return {"variant": variant, "budget": budget, "seed": seed, "side": side_of(variant, budget) // reduction,
            "arithmetic": served_in(work / "model.onnx"), "wall_seconds": seconds,
            "accuracy": answer["test_accuracy"], "count": answer["accuracy"]["count"],
            "log_loss": answer["log_loss"], "auc": answer["auc"],
            **({"mirrored_accuracy": mirrored["accuracy"]["value"], "mirrored_log_loss": mirrored["log_loss"]}
               if (mirrored := answer["mirrored"]) else {}),  # left out where the budget was nearly over
            "calibration_error": answer["expected_calibration_error"], "peak_mb": peak / 1e6,
            "images_per_second": answer["images_per_second"], "input_share": answer["input_share"],
            "history": [[row["seconds"], row["val_accuracy"]] for row in answer["history"]]}


def served_in(model: Path) -> str:
    """The arithmetic that all its figures are of."""
    made_for = read_card(model).arithmetic
    return made_for if made_for == "float" or integers.are_exact(made_for) else "float32"


def plain(folder: Path) -> dict:
    """Images a second of the plain recipe, on a slice: seconds to its published accuracy are extrapolated from it."""
    measured = measure([sys.executable, str(HERE / "training.py"), "plain", "--data-dir", str(folder)])
    return {"plain": json.loads(measured.output)["images_per_second"]}


def same(folder: Path, work: Path, batch: int) -> dict:
    """What both make of the specification's network in as many epochs as were published, at 224 px."""
    answer, _, _ = catsdogs(
        "train", "--data-dir", folder, "--model-variant", "baseline", "--epochs", EPOCHS_TO_PUBLISHED, "--seed", 1,
        "--batch-size", batch, "--output-model", work / "baseline.pt", "--artifact-dir", work / "training",
        "--mlflow-tracking-uri", "none", "--no-resume")
    line = [sys.executable, str(HERE / "training.py"), "plain", "--epochs", str(EPOCHS_TO_PUBLISHED)]
    measured = measure([*line, "--data-dir", str(folder), "--batch", str(batch)])
    return {"baseline_accuracy": answer["test_accuracy"], "count": answer["accuracy"]["count"],
            "plain_accuracy": json.loads(measured.output)["accuracy"]}


def summary(rows: list[dict], photos: str, train: int) -> str:
    lines = [
        "# Results of `make bench-training`", "",
        f"{date.today()}, {photos}, {train:,} training photos. Accuracy is of the served single model "
        f"on the test split. Taught: `--teacher {TEACHER}`; pretrained: that network itself, fine-tuned; `fast` alone "
        "saw no other photos. Mirrored is the mean with the mirror image, which is not served. With several seeds the "
        "median, and lowest to highest. Results of older code and of other processors: "
        "[TRAINING_EARLIER.md](TRAINING_EARLIER.md).",
    ]
    for name in reversed(dict.fromkeys(row["processor"] for row in rows)):  # the one that came last first
        lines += ["", f"## {name}", "", *_table(_newest([row for row in rows if row["processor"] == name]), train)]
    return "\n".join(lines) + "\n"


def _newest(rows: list[dict]) -> list[dict]:
    """Of what was run again, as after a change of the code, the last."""
    return list({(row.get("variant"), row.get("budget"), row.get("seed"), *(name in row for name in WHOLE)): row
                 for row in rows}.values())


def _table(rows: list[dict], train: int) -> list[str]:
    lines = [
        "| variant | code | measured | served in | budget | side | runs | wall seconds | accuracy | log-loss | "
        "mirrored: accuracy | log-loss | "
        "calibration error | AUC | images/s | input | memory |",
        "|" + 17 * " --- |",
    ]
    for variant, budget in RUNS:
        mine = [row for row in rows if (row.get("variant"), row.get("budget")) == (variant, budget)]
        if mine:
            lines.append("| " + " | ".join([
                variant, *(" and ".join(sorted({row.get(name, other) for row in mine})) for name, other in (
                    ("code", "older"), ("date", "before"), ("arithmetic", "float"))), budget,
                f"{mine[0]['side']} px", str(len(mine)), _of(mine, "wall_seconds", "{:.0f}"),
                _of(mine, "accuracy", "{:.2%}"), _of(mine, "log_loss", "{:.3f}"),
                _of(mine, "mirrored_accuracy", "{:.2%}"), _of(mine, "mirrored_log_loss", "{:.3f}"),
                _of(mine, "calibration_error", "{:.2%}"), _of(mine, "auc", "{:.4f}"),
                _of(mine, "images_per_second", "{:.0f}"), _of(mine, "input_share", "{:.1%}"),
                _of(mine, "peak_mb", "{:.0f} MB")]) + " |")
    speeds = [row["plain"] for row in rows if "plain" in row]
    if speeds:
        speed = statistics.median(speeds)
        seconds = EPOCHS_TO_PUBLISHED * train / speed
        lines += ["", f"The plain recipe (benchmarks/training.py) trains {speed:.1f} images/s at 224 px, so its "
                  f"published {PUBLISHED:.1%} after {EPOCHS_TO_PUBLISHED} epochs takes {seconds:,.0f} s (extrapolated "
                  "from a slice)."]
        for budget in SHORT:
            mine = [row for row in rows if row.get("budget") == budget]
            if mine and all(row["accuracy"] >= PUBLISHED for row in mine):
                reached = statistics.median(row["wall_seconds"] for row in mine)
                lines.append(f"`fast` was beyond that after {reached:.1f} s: {seconds / reached:.0f} times sooner.")
                break
    for row in rows:
        if "plain_accuracy" in row:
            lines += ["", f"The specification's network after {EPOCHS_TO_PUBLISHED} epochs at 224 px, on "
                      f"{row['count']:,} test photos: `baseline` {row['baseline_accuracy']:.1%}, the "
                      f"plain recipe {row['plain_accuracy']:.1%} (one seed each)."]
    return lines


def _of(rows: list[dict], name: str, form: str) -> str:
    values = [row[name] for row in rows if name in row]
    if not values:
        return ""
    middle = form.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form.format(min(values))} to {form.format(max(values))})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="zip or folder of real photos")
    parser.add_argument("--work", type=Path, default=Path("build/race"), help="folder that is kept between calls")
    parser.add_argument("--budgets", nargs="+", default=list(BUDGETS), choices=list(BUDGETS))
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--without-specification", action="store_true",
                        help="leave out its network trained both ways, which takes the plain recipe up to half an hour")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.002)
    arguments = parser.parse_args()
    every = [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []
    here = processor()
    code = code_digest()[:8]
    rows = [row for row in every if row["processor"] == here and row.get("code") == code]
    arguments.work.mkdir(parents=True, exist_ok=True)

    def note(row: dict) -> None:
        row = {"processor": here, "code": code, "date": str(date.today()), **row}
        rows.append(row)
        every.append(row)
        with LINES.open("a") as file:
            file.write(json.dumps(row) + "\n")

    folders: dict[int, Path] = {}
    runs = [(*run, seed) for run in RUNS for seed in arguments.seeds
            if run[0] in arguments.variants and run[1] in arguments.budgets]
    for variant, budget, seed in runs:
        if not any([row.get(name) for name in ("variant", "budget", "seed")] == [variant, budget, seed]
                   for row in rows):
            side = side_of(variant, budget)
            if side not in folders:
                folders[side] = prepared(arguments.photos, arguments.work, side)
            try:
                note(race(folders[side], variant, budget, seed, arguments.batch_size, arguments.learning_rate,
                          arguments.work))
            except CalledProcessError as refused:
                if budget not in SHORT or refused.returncode != WRONG_USAGE:
                    raise
                print(f"{budget} are too short here, as it says above: left out", flush=True)
    if not any("plain" in row for row in rows):
        note(plain(prepared(arguments.photos, arguments.work, 224)))
    if not arguments.without_specification and not any("plain_accuracy" in row for row in rows):
        note(same(prepared(arguments.photos, arguments.work, 224), arguments.work, arguments.batch_size))
    folder = next(arguments.work.glob("processed-*"), None) or prepared(arguments.photos, arguments.work, 128)
    counts = json.loads((folder / "preprocess.json").read_text())["counts"]["train"]
    SUMMARY.write_text(summary(every, arguments.photos.name, sum(counts.values())))
    print(SUMMARY.read_text())


if __name__ == "__main__":
    main()
