"""The whole chain in one command: photos -> ingest -> preprocess -> train -> serve -> smoke test -> evaluation.

Reads as the tutorial: each step is the command that a person would type, and is printed as such.
"""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catsdogs.commands import step as run_step
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import sha256, write_json
from catsdogs.settings.demo import DemoSettings


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    folder: Path
    steps: dict[str, dict[str, Any]]  # command -> what it answered
    seconds: float
    passed: bool

    def text(self) -> str:
        ingest, training = self.steps["ingest"], self.steps["train"]
        live = self.steps["post-deploy-eval"]
        verdicts = ingest["verdicts"]
        accuracy = live["accuracy"]
        rows = [
            ("photos in", f"{ingest['files']:,} files: {_counts(ingest['classes'])} kept"),
            ("left out", _counts({name: count for name, count in verdicts.items() if name != "kept"}) or "none"),
            ("training", f"{training['images_per_second']:,.0f} images/s, {training['seconds']['training']:.0f} s"),
            ("smoke test", "passed" if self.steps["smoke-test"]["passed"] else "FAILED"),
            ("accuracy", f"{accuracy['value']:.1%} of {accuracy['count']} test photos, over HTTP "
                         f"(95 % interval {accuracy['low']:.1%} to {accuracy['high']:.1%})"),
            ("serving", f"{live['requests_per_second']:,.0f} requests/s, "
                        f"p50 {live['latency_ms']['p50']:.1f} ms, p99 {live['latency_ms']['p99']:.1f} ms"),
            ("report", f"{self.folder / 'artifacts/post_deploy_eval.json'}"),
            ("plots", f"{self.folder / 'artifacts/training'}/confusion_matrix.png, loss_curve.png"),
            ("time", f"{self.seconds:.0f} s"),
        ]
        width = max(len(name) for name, _ in rows)
        model = self.folder / "models/model.pt"
        following = [
            f"ENABLE_REAL_MODEL=1 catsdogs serve --model-path {shlex.quote(str(model))}",
            f"catsdogs train --data-dir {shlex.quote(str(self.folder / 'data/processed'))} --model-variant fast "
            "--time-budget 5m",
            f"mlflow ui --backend-store-uri sqlite:///{self.folder / 'mlflow.db'}",
        ]
        return "\n".join([
            "", "catsdogs demo " + ("passed" if self.passed else "FAILED"),
            *(f"  {name:<{width}}  {text}" for name, text in rows),
            "", "Next (after `source .venv/bin/activate`):", *(f"  {line}" for line in following),
        ])

    def data(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "passed": self.passed, "seconds": self.seconds, "steps": self.steps}


def demo(settings: DemoSettings) -> DemoResult:
    """Run every stage; a second run reuses what the first one finished. Raises what a stage raises."""
    started = time.monotonic()
    folder = settings.work_dir / _name(settings.photos)
    steps: dict[str, dict[str, Any]] = {}

    def step(command: str, **flags: Any) -> None:
        answer = run_step(command, flags)
        steps[command] = answer.data() | {"passed": getattr(answer, "passed", True)}

    photos = settings.photos or folder / "data/raw"
    if settings.photos is None:
        step("sample", output_dir=photos)
    elif not photos.exists():
        raise UsageError(f"{photos} does not exist: name a folder or a zip of photos with --photos.")
    source = {"zip_path": photos} if photos.is_file() else {"source_dir": photos}
    step("ingest", **source, output_dir=folder / "data/ingested", fixes=os.devnull)
    step("preprocess", input_dir=folder / "data/ingested", output_dir=folder / "data/processed",
         image_size=settings.image_size)
    step("train", data_dir=folder / "data/processed", output_model=folder / "models/model.pt",
         artifact_dir=folder / "artifacts/training", epochs=settings.epochs or _epochs(steps["preprocess"]["counts"]),
         batch_size=64, learning_rate=0.002, model_variant=settings.model_variant,
         mlflow_tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    step("package", model_path=folder / "models/model.pt", data_dir=folder / "data/processed")
    step("eval-batch", processed_dir=folder / "data/processed", output_csv=folder / "artifacts/eval_batch.csv",
         per_class=1000)
    with _server(folder / "models/model.pt", folder / "serve.log") as address:
        step("smoke-test", base_url=address, model_path=folder / "models/model.pt")
        step("post-deploy-eval", base_url=address, input_csv=folder / "artifacts/eval_batch.csv",
             output_json=folder / "artifacts/post_deploy_eval.json")
    result = DemoResult(
        folder=folder, steps=steps, seconds=time.monotonic() - started,
        passed=all(answer["passed"] for answer in steps.values()),
    )
    write_json(folder / "summary.json", result.data())
    return result


def _epochs(counts: dict[str, dict[str, int]]) -> int:
    """So many that training takes less than a minute, or with many photos three."""
    return max(3, min(8, 40_000 // sum(counts["train"].values())))


def _name(photos: Path | None) -> str:
    """A folder of its own for every source, so that two sets of photos never mix."""
    if photos is None:
        return "sample"
    return f"{photos.stem}-{sha256(str(photos.resolve()).encode())[:6]}"


@contextmanager
def _server(model: Path, log: Path) -> Iterator[str]:
    """The real server in a process of its own, stopped at the end whatever happens; yields its address."""
    port = _free_port()
    command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", str(port),
               "--model-path", str(model)]
    print(f"\n$ {shlex.join(['catsdogs', *command[3:]])} &", file=sys.stderr, flush=True)
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            time.sleep(0.3)
            if process.poll() is not None:
                raise CatsdogsError(f"The server did not start: {log} says why.")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _counts(classes: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {label}" for label, count in classes.items())
