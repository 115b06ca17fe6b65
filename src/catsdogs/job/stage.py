"""`catsdogs job`: the training chain from the bucket to the bucket, as the cluster runs it.

Interrupted, the same command goes on: photos and folders that are there are not made again, the training goes on from
its checkpoint (on disk, else in the bucket), and what is pushed already is not pushed again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from catsdogs.commands import step
from catsdogs.errors import CatsdogsError
from catsdogs.files import sha256_file, write_json
from catsdogs.job.champion import fetch_champion
from catsdogs.job.raw import fetch_raw
from catsdogs.job.record import Trained, digest_of_training, find, write
from catsdogs.job.together import together
from catsdogs.log import event
from catsdogs.reports import TrainingMetrics
from catsdogs.settings.job import JobSettings
from catsdogs.settings.training import LITE0, PRETRAINED
from catsdogs.storage import open_store
from catsdogs.stores.store import Store
from catsdogs.train.result import TrainResult
from catsdogs.versions.commit import to_push
from catsdogs.versions.layout import Layout


@dataclass(frozen=True, kw_only=True)
class JobResult:
    commit: str
    bucket: str
    digest: str  # of data, code and parameters
    reused: str | None  # commit whose model it is, where none was trained
    steps: dict[str, dict[str, Any]]  # command -> what it answered
    seconds: float
    helped: bool = False  # not the first process: it trained and left the rest to that one

    @property
    def passed(self) -> bool:
        return self.helped or bool(self.steps["gate"]["passed"])

    def text(self) -> str:
        if self.helped:
            return f"job          helped to train {self.commit}"
        model = f"of {self.reused}: its data, code and parameters are the same" if self.reused else "trained"
        return "\n".join([
            f"job          {self.commit}  -> {self.bucket}/models/{self.commit}/",
            f"model        {model}", f"digest       {self.digest}",
            f"gate         {'passed' if self.passed else 'FAILED: nothing is promoted'}",
            f"took         {self.seconds:.0f} s",
        ])

    def data(self) -> dict[str, Any]:
        return {"commit": self.commit, "bucket": self.bucket, "digest": self.digest, "reused": self.reused,
                "passed": self.passed, "seconds": self.seconds, "steps": self.steps}


def job(settings: JobSettings) -> JobResult:
    """Run the chain. Raises what a stage raises, and CatsdogsError where doctor finds a rule broken."""
    started = time.monotonic()
    # Inside an image there is no checkout whose changes could be missing from the commit.
    commit = to_push(settings.commit or None, allow_dirty=False)
    store = open_store(settings)
    run = _Job(settings, store, commit)
    run.photos()
    digest = digest_of_training(settings, run.data_dir / "processed")
    # What a hub's name or a folder leads to may change; the weights of the backbone at hand are part of the code.
    known = settings.teacher in ("", LITE0) and (
        settings.model_variant == PRETRAINED + LITE0 or not settings.model_variant.startswith(PRETRAINED))
    reused = run.reuse(digest) if known and not settings.retrain else None
    helped = settings.rank > 0
    if reused is None:
        tells = known and not settings.retrain
        run.train((lambda: find(store, run.layout, digest) is not None) if tells else None)
    if not helped:
        run.publish(digest)
        run.gate()
    result = JobResult(commit=commit, bucket=store.url, digest=digest, reused=reused, steps=run.steps, helped=helped,
                       seconds=time.monotonic() - started)
    if not helped:
        write_json(settings.work_dir / "job.json", result.data())
    return result


class _Job:
    def __init__(self, settings: JobSettings, store: Store, commit: str) -> None:
        self.settings, self.store, self.commit = settings, store, commit
        self.layout, self.steps = Layout(settings.dataset), dict[str, dict[str, Any]]()
        self.data_dir, self.artifacts = settings.work_dir / "data", settings.work_dir / "artifacts"
        self.model = settings.work_dir / "models/model.pt"
        self.where = {
            "bucket": settings.bucket, "dataset": settings.dataset, "data_dir": self.data_dir,
            "models_dir": self.model.parent, "metrics": self.artifacts / "training/metrics.json",
            "transfers": settings.transfers, "stall_seconds": settings.stall_seconds,
        }

    def photos(self) -> None:
        """raw -> ingested -> processed -> looked at, splits included."""
        settings, ingested, processed = self.settings, self.data_dir / "ingested", self.data_dir / "processed"
        raw = fetch_raw(settings, self.store, self.commit, self.data_dir)
        fixes = {} if settings.fixes is None else {"fixes": settings.fixes}
        self._step("ingest", source_dir=raw, output_dir=ingested, **fixes)
        self._step("preprocess", input_dir=ingested, output_dir=processed, image_size=settings.image_size,
                   seed=settings.seed)
        self._step("doctor", data_dir=ingested, processed_dir=processed, output_dir=self.artifacts / "data", **fixes)
        if not self.steps["doctor"]["passed"]:
            if not settings.doctor_warns:
                raise CatsdogsError(f"The photos break a rule of doctor ({self.artifacts / 'data/report.html'} and the "
                                    "lines above say which): correct them in fixes.yaml, change the rule, or go on "
                                    "with --doctor-warns.")
            event("doctor_warned", report=self.artifacts / "data/report.json")

    def reuse(self, digest: str) -> str | None:
        """Fetch the model that these data, code and parameters gave before; returns the commit that has it."""
        record = find(self.store, self.layout, digest)
        if record is None:
            return None
        self._step("pull", **self.where, commit=record.commit, stage=["models"], overwrite=True)
        if sha256_file(self.model) != record.model_digest:
            event("record_ignored", because=f"models/{record.commit} is another model than the record says")
            return None
        return record.commit

    def train(self, published: Callable[[], bool] | None) -> None:
        settings = self.settings
        length = {"epochs": settings.epochs} if settings.time_budget is None else {"time_budget": settings.time_budget}
        flags = {
            "data_dir": self.data_dir / "processed", "output_model": self.model,
            "artifact_dir": self.artifacts / "training", "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate, "model_variant": settings.model_variant,
            "teacher": settings.teacher, "seed": settings.seed,
            "precision": settings.precision, "force_cpu": settings.force_cpu, "checkpoint_bucket": settings.bucket,
            "keep_checkpoint": settings.rank == 0, **length}
        if settings.nodes == 1:
            self._step("train", **flags)
        else:
            together(settings, flags, published)
            if settings.rank == 0:
                reported = self.artifacts / "training"
                metrics = TrainingMetrics.read(reported / TrainingMetrics.FILE_NAME, "`catsdogs job`")
                made = TrainResult(model=self.model, artifact_dir=reported, metrics=metrics)
                self.steps["train"] = made.data() | {"passed": True, "nodes": settings.nodes}

    def publish(self, digest: str) -> None:
        """Store what was made: the model first, because it cost most."""
        write(self.store, Trained(digest=digest, commit=self.commit, model_digest=sha256_file(self.model)))
        for stages in (["models"], ["ingested", "processed"]):
            unpacked = self.settings.unpacked and stages != ["models"]
            self._step("push", **self.where, commit=self.commit, stage=stages, unpacked=unpacked,
                       cache_dir=self.settings.work_dir / ".catsdogs")
            self._forget_checkpoint()

    def _forget_checkpoint(self) -> None:
        """Once the model is in the bucket, and not before: this machine may be taken away between."""
        from catsdogs.train.checkpoint import Checkpoint
        from catsdogs.train.far import FarCheckpoint

        folder = self.artifacts / "training"
        if (key := Checkpoint.key_in(folder)) is not None:
            FarCheckpoint(folder, key, self.store).remove()

    def gate(self) -> None:
        champion = fetch_champion(self.settings, self.store, self.settings.work_dir / "champion")
        flags = {} if champion is None else {"champion": champion}
        self._step("gate", challenger=self.model.with_suffix(".onnx"), data_dir=self.data_dir / "processed",
                   output_json=self.artifacts / "gate.json", **flags)

    def _step(self, command: str, **flags: Any) -> None:
        answer = step(command, flags)
        self.steps[command] = answer.data() | {"passed": getattr(answer, "passed", True)}
