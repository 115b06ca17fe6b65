"""The long proof of training, third part of `make soak`: 50 SIGKILLs and some SIGTERMs at random moments of trainings
that are started again until they end; each must end with the weights of an undisturbed one, to the bit. Goes on where
it stopped (benchmarks/soak_training.jsonl, a line a training); the summary is benchmarks/SOAK_TRAINING.md."""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from catsdogs.ingest.stage import ingest  # noqa: E402
from catsdogs.preprocess.stage import preprocess  # noqa: E402
from catsdogs.settings.data import IngestSettings, PreprocessSettings  # noqa: E402
from catsdogs.settings.training import TrainSettings  # noqa: E402
from tests.models import train_settings  # noqa: E402
from tests.photos import write_raw  # noqa: E402
from tests.train.kills import hunted, same_model, undisturbed  # noqa: E402

KILLS, A_TRAINING, TERMS = 50, 5, 1
LINES, SUMMARY = HERE / "soak_training.jsonl", HERE / "SOAK_TRAINING.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long; run again to go on")
    arguments = parser.parse_args()
    started = time.monotonic()
    done = [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []
    work = Path(tempfile.mkdtemp(prefix="catsdogs-soak-"))
    try:
        data_dir = photos(work)
        while counted(done)["SIGKILL"] < arguments.kills and time.monotonic() - started < arguments.minutes * 60:
            done.append(one_training(work, data_dir, len(done)))
            with LINES.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
            print(done[-1], flush=True)
            if not done[-1]["same"]:
                break
    finally:
        shutil.rmtree(work)
    SUMMARY.write_text(summary(done))
    print(SUMMARY.read_text())
    sys.exit(not all(line["same"] for line in done))


def photos(work: Path) -> Path:
    raw = write_raw(work / "raw", 30, labels=("Cat", "Dog", "Hamster"))
    ingest(IngestSettings(source_dir=raw, output_dir=work / "ingested", workers=1))
    preprocess(PreprocessSettings(input_dir=work / "ingested", output_dir=work / "processed", image_size=16,
                                  train_ratio=0.6, val_ratio=0.2, workers=1))
    return work / "processed"


def one_training(work: Path, data_dir: Path, number: int) -> dict:
    """Both networks in turn; half of them save after each step, so that kills meet half-written checkpoints."""
    variant = ("fast", "baseline")[number % 2]
    save_seconds = (None, 0.0)[number // 2 % 2]

    def settings(name: str) -> TrainSettings:
        folder = work / str(number) / name
        folder.mkdir(parents=True)
        return train_settings(data_dir, folder, model_variant=variant, epochs=8, batch_size=8, seed=number)

    whole, killed = settings("whole"), settings("killed")
    folder = work / str(number)
    steps = undisturbed(whole, folder / "whole.txt")
    line = {"number": number, "variant": variant, "saves_each_step": save_seconds == 0.0, "steps": steps}
    try:
        met = hunted(killed, folder, number, steps, A_TRAINING, TERMS, save_seconds)
        return line | {"met": met, "same": same_model(whole.output_model, killed.output_model)}
    except AssertionError as error:
        return line | {"met": [], "same": False, "failed": str(error)}


def counted(done: list[dict]) -> Counter[str]:
    return Counter(signal["signal"] for line in done for signal in line["met"])


def summary(done: list[dict]) -> str:
    signals = [signal for line in done for signal in line["met"]]
    met = Counter(signal["met"] for signal in signals if signal["signal"] == "SIGKILL")
    stops = [signal["seconds_to_exit"] for signal in signals if signal["signal"] == "SIGTERM"]
    failed = [line for line in done if not line["same"]]
    return "\n".join([
        "# Result of the third part of `make soak`: trainings that are killed", "",
        f"{date.today()}: {len(done)} trainings of 8 epochs on 16 px photos, `fast` and `baseline` in turn, "
        f"{sum(line['saves_each_step'] for line in done)} of them saving after every step. "
        "Each start is a process of its own that is killed up to 30 ms after a random "
        "step, after it began to save or to validate, or after the last step; then the same training is started "
        "again.", "",
        f"- {len(failed)} trainings ended with other weights or figures than an undisturbed one, or failed"
        + "".join(f"; {line}" for line in failed),
        f"- {counted(done)['SIGKILL']} SIGKILLs, while: " + ", ".join(f"{what} {count}" for what, count in sorted(
            met.items())),
        f"- {len(stops)} SIGTERMs" + (f", ended after at most {max(stops):.1f} s" if stops else ""), ""])


if __name__ == "__main__":
    main()
