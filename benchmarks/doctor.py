"""What doctor finds of 200 exact copies, 200 near ones, 200 flipped labels and 50 junk pictures among 4,000 photos, and
what 16,000 photos cost it.

    python benchmarks/doctor.py --photos cats-dogs-180px.zip [--part speed|faults|labels|trainings]

Each part keeps the figures of the others (benchmarks/doctor.json); the table is benchmarks/DOCTOR.md.
"""

import argparse
import json
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # the faults are those of the tests

from measure import measure  # noqa: E402
from run import processor  # noqa: E402

from catsdogs.doctor.labels import NONE  # noqa: E402
from catsdogs.doctor.stage import doctor  # noqa: E402
from catsdogs.ingest.stage import ingest  # noqa: E402
from catsdogs.preprocess.stage import preprocess  # noqa: E402
from catsdogs.settings.data import IngestSettings, PreprocessSettings  # noqa: E402
from catsdogs.settings.doctor import DoctorSettings  # noqa: E402
from tests.doctor.plant import found, plant, real_photos  # noqa: E402

FIGURES, TABLE = HERE / "doctor.json", HERE / "DOCTOR.md"
PER_CLASS, SEED = 2000, 7
PARTS = ("speed", "faults", "labels", "trainings")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--part", choices=PARTS, action="append", help="measure only this; may be repeated")
    parser.add_argument("--keep", type=Path, help="keep the report of the planted faults here")
    asked = parser.parse_args()
    figures: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    for part in asked.part or PARTS:
        with tempfile.TemporaryDirectory() as work:
            measured = speed(asked.photos, Path(work)) if part == "speed" else planted(
                asked.photos, Path(work), part, asked.keep)
        figures[part] = {"date": str(date.today()), "processor": processor(), **measured}
        FIGURES.write_text(json.dumps(figures, indent=2) + "\n")
    TABLE.write_text(table(figures))
    print(table(figures))


def speed(photos: Path, work: Path) -> dict[str, Any]:
    """The whole command on all photos, without labels."""
    rows = ingest(IngestSettings(zip_path=photos, output_dir=work / "ingested"))
    line = [sys.executable, "-m", "catsdogs", "doctor", str(work / "ingested"), "--processed-dir", str(work / "none"),
            "--output-dir", str(work / "report"), "--json"]
    measured = measure(line)
    return {"photos": rows.data()["files"], "seconds": measured.seconds, "peak": measured.peak_bytes,
            "page": (work / "report" / "report.html").stat().st_size}


def planted(photos: Path, work: Path, part: str, keep: Path | None) -> dict[str, Any]:
    faults = plant(real_photos(photos, PER_CLASS, SEED), work / "raw", exact=200, near=200, flipped=200, junked=50,
                   mirrored=200, seed=SEED)
    ingest(IngestSettings(source_dir=work / "raw", output_dir=work / "ingested"))
    if part != "faults":
        preprocess(PreprocessSettings(input_dir=work / "ingested", output_dir=work / "processed", image_size=128))
    result = doctor(DoctorSettings(
        data_dir=work / "ingested", processed_dir=work / "processed", output_dir=keep or work / "report",
        labels=part != "faults", **({"label_backbone": NONE} if part == "trainings" else {})))
    figures: dict[str, Any] = found(faults, result.report) | {"seconds": result.seconds}
    if check := result.report.labels:
        figures |= {"label seconds": check.seconds, "agreement": check.accuracy, "trainings":
                    0 if check.backbone else check.folds, "epochs": check.epochs, "photos": check.photos}
    return figures


def table(figures: dict[str, Any]) -> str:
    lines = ["# Results of benchmarks/doctor.py", "",
             "Planted among 4,000 real photos: 200 exact copies, 200 near ones (re-encoded, resized, cropped by up to "
             "5 % a side), 200 mirrored (no copies), 200 flipped labels, 50 junk pictures. False alarms: groups of "
             "copies and odd ones that were not planted (the set has some of its own: all count as false).", "",
             "| what | asked for | found | measured |", "| --- | --- | --- | --- |"]
    if cost := figures.get("speed"):
        lines.append(f"| {cost['photos']:,} photos of 180 px, without labels | 90 s, 2 GB | {cost['seconds']:.1f} s, "
                     f"{cost['peak'] / 1e6:,.0f} MB (a page of {cost['page'] / 1e6:.1f} MB) | {_when(cost)} |")
    if faults := figures.get("faults"):
        for name, wanted in (("exact", 1), ("near", 0.95), ("junk", 0.8)):
            lines.append(f"| {name} | {wanted:.0%} | {faults[name]:.1%} | {_when(faults)} |")
        lines.append(f"| mirrored called copies | 0 | {faults['mirrored called copies']:.0f} | {_when(faults)} |")
        lines.append(f"| false alarms | 1 % | {faults['false alarms'] / (2 * PER_CLASS):.2%} | {_when(faults)} |")
    for part, judge in (("labels", "EfficientNet-Lite0's features, the default"),
                        ("trainings", "own trainings (--label-backbone none)")):
        if labels := figures.get(part):
            lines.append(f"| flipped labels in the first 300, judged by {judge} | 80 % | {labels['flipped']:.1%} "
                         f"(agreement with the labels {labels['agreement']:.1%}) | {_when(labels)} |")
            lines.append(f"| time of that label check | 5 small trainings | {labels['label seconds']:.0f} s, "
                         f"{labels['trainings']} trainings of {labels['epochs']} passes | {_when(labels)} |")
    return "\n".join(lines) + "\n"


def _when(part: dict[str, Any]) -> str:
    return f"{part['date']}, {part['processor']}"


if __name__ == "__main__":
    main()
