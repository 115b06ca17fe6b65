"""A bucket, a small cluster of processes, models of different worth, and a client that never stops asking."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from catsdogs.artifacts import EvalRow, write_eval_batch
from catsdogs.champion.move import champion
from catsdogs.files import sha256
from catsdogs.images import encode
from catsdogs.release.place import cluster
from catsdogs.settings.release import ClusterSettings
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Store
from tests.gate.processed import model
from tests.photos import write
from tests.tiny_model import CLASSES, colour_photo, golden_photo

PAUSE = 0.02  # seconds between two requests of the client


@dataclass
class Place:
    folder: Path
    kind: str = "process"
    models: dict[str, Path] = field(default_factory=dict)
    replicas: int = 1  # each takes a second to start; two where a test is about the other one

    @property
    def store(self) -> Store:
        return open_store(BucketSettings(bucket=str(self.folder / "bucket")))

    @property
    def csv(self) -> Path:
        return self.folder / "eval.csv"

    def common(self) -> dict[str, Any]:
        return {"bucket": str(self.folder / "bucket"), "cluster": self.kind, "cluster_dir": self.folder / "cluster",
                "port": 0, "replicas": self.replicas, "mlflow_tracking_uri": "none", "who": "Ada", "why": "a test",
                "ready_seconds": 60, "rollout_seconds": 60}

    def asked(self, name: str, **options: Any) -> dict[str, Any]:
        """Settings of a release of one of the models."""
        return self.common() | {
            "image": str(self.models[name]), "model_path": self.models[name], "input_csv": self.csv,
            "output_json": self.folder / "release.json", "watch_seconds": 1, "watch_rate": 10, "margin": 0.1,
            "max_calibration_error": 1.0, "max_latency_ratio": 50, "max_p99_ms": 60_000,  # busy machines stand still
        } | options

    def command(self, name: str, **options: Any) -> list[str]:
        """The same as flags of `catsdogs release`."""
        asked = self.asked(name, **options)
        return [word for key, value in asked.items() for word in (f"--{key.replace('_', '-')}", str(value))]

    def champion(self) -> str | None:
        """Digest of the champion's model."""
        value = champion(self.store).value
        return value.model.model_digest if value and value.model else None

    def public(self) -> Any:
        named: Any = {"cluster": self.kind, "cluster_dir": self.folder / "cluster", "port": 0}
        return cluster(ClusterSettings(**named))


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """Models `good`, `better` (its equal, but another file), `flipped` (answers the other class) and `broken`."""
    rows = []
    for number in range(120):
        data = encode(colour_photo(number % 2, 300 + number))
        write(folder / "eval" / f"{number}.png", data)
        rows.append(EvalRow(path=f"eval/{number}.png", label=CLASSES[number % 2], digest=sha256(data)))
    write_eval_batch(folder / "eval.csv", rows)
    found = Place(folder)
    found.models = tiny_models(folder)
    try:
        yield found
    finally:
        cluster(ClusterSettings(cluster="process", cluster_dir=folder / "cluster", port=0, stop=True))


def tiny_models(folder: Path) -> dict[str, Path]:
    return {
        "good": model(folder / "good", model_digest="a" * 64),
        "better": model(folder / "better", model_digest="b" * 64, temperature=1.9),
        # Its golden photos were answered by itself, so it is as sound as it is wrong.
        "flipped": model(folder / "flipped", flipped=True, model_digest="c" * 64),
        # Another answered its golden photos, so it refuses to start.
        "broken": model(folder / "broken", flipped=True, model_digest="d" * 64, golden=[*map(golden_photo, (0, 1))]),
    }


@dataclass
class Seen:
    """What the client was answered: status -> how often, and how often the answer was right."""

    statuses: list[int] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)


@contextmanager
def client(address: str) -> Iterator[Seen]:
    """Asks all the time, one photo after the other, over one connection; nothing is tried again."""
    seen, stopped = Seen(), threading.Event()
    photo = encode(colour_photo(0, 7))

    def ask() -> None:
        with requests.Session() as session:
            while not stopped.wait(PAUSE):
                try:
                    answer = session.post(f"{address}/predict", files={"file": ("x.png", photo)}, timeout=30)
                    seen.statuses.append(answer.status_code)
                    seen.right.append(answer.status_code == 200 and answer.json()["label"] == CLASSES[0])
                except requests.RequestException:
                    seen.statuses.append(0)
                    seen.right.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()
