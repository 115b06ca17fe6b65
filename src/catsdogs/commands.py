"""The table of commands: which function runs which stage, with which settings. Imports nothing of them."""

import importlib
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from catsdogs.machine import begin_step


class Result(Protocol):
    """What a stage returns: a summary for a person, and the same as plain data."""

    def text(self) -> str: ...
    def data(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Command:
    module: str
    function: str
    settings: str
    help: str
    positional: str = ""
    """Setting that may be given as the first word, without its flag."""
    remembers: bool = False
    """The meaning of its flags is kept for the next time: no secret is among its settings."""
    ends_at_once: bool = False
    """Nothing is left to be tidied when it returns: no library's exit handlers, no threads, no processes."""

    def settings_type(self) -> Any:
        module, _, name = self.settings.partition(".")
        return getattr(importlib.import_module(f"catsdogs.settings.{module}"), name)

    def run(self, settings: Any) -> Result:
        """Import the stage and run it. Raises what the stage raises."""
        stage: Callable[[Any], Result] = getattr(importlib.import_module(f"catsdogs.{self.module}"), self.function)
        return stage(settings)


COMMANDS = {
    "demo": Command("demo", "demo", "demo.DemoSettings", "the whole chain, on drawn or real photos"),
    "job": Command("job.stage", "job", "job.JobSettings", "from the bucket to the bucket: what the cluster runs"),
    "sample": Command("sample.stage", "sample", "data.SampleSettings", "draw labelled pictures to try everything with"),
    "ingest": Command("ingest.stage", "ingest", "data.IngestSettings", "raw photos -> checked, one folder per class"),
    "doctor": Command("doctor.stage", "doctor", "doctor.DoctorSettings", "examine ingested photos", "data_dir"),
    "preprocess": Command("preprocess.stage", "preprocess", "data.PreprocessSettings", "-> resized, split by content"),
    "train": Command("train.stage", "train", "training.TrainSettings", "-> model.pt, model.onnx, metrics and plots"),
    "tune": Command("train.tune.stage", "tune", "tuning.TuneSettings", "search for hyperparameters"),
    "runs": Command("runs", "runs", "training.RunsSettings", "list and compare recorded trainings"),
    "models": Command("train.compare", "models", "training.ModelsSettings", "list the network variants"),
    "package": Command("package", "package", "training.PackageSettings", "model.pt -> model.onnx, checked"),
    "lineage": Command("lineage", "lineage", "training.LineageSettings", "what a model was made from", "model_path"),
    "gate": Command("gate.stage", "gate", "gate.GateSettings", "challenger against champion: may it ship?"),
    "serve": Command("serve.stage", "serve", "serving.ServeSettings", "answer predictions over HTTP"),
    "key": Command("serve.new_key", "new_key", "serving.KeySettings", "make an API key for the service"),
    "smoke-test": Command("evaluate.smoke", "smoke_test", "serving.SmokeTestSettings", "check a running service"),
    "eval-batch": Command("evaluate.batch", "eval_batch", "serving.EvalBatchSettings", "choose labelled test photos"),
    "post-deploy-eval": Command(
        "evaluate.post_deploy", "post_deploy_eval", "serving.PostDeployEvalSettings", "measure a running service"
    ),
    "bundle": Command("bundle.stage", "bundle", "bundle.BundleSettings", "pack what is handed in, and try it out"),
    "promote": Command("release.promote", "promote", "promotion.PromoteSettings", "name the champion, or undo it"),
    "release": Command("release.stage", "release", "release.ReleaseSettings", "image -> candidate, gate, traffic"),
    "rollback": Command("release.rollback", "rollback", "release.RollbackSettings", "undo the last release"),
    "cluster": Command("release.place", "cluster", "release.ClusterSettings", "show or stop a local cluster"),
    "fetch": Command("versions.fetch", "fetch", "versions.FetchSettings", "download Microsoft's archive of photos"),
    "push": Command("versions.push", "push", "versions.PushSettings", "store this commit's folders in a bucket",
                    remembers=True, ends_at_once=True),
    "pull": Command("versions.pull", "pull", "versions.PullSettings", "get a commit's folders back from it"),
    "versions": Command("versions.listing", "versions", "versions.VersionsSettings", "list what the bucket holds"),
    "verify": Command("versions.verify", "verify", "versions.VerifySettings", "read it again, byte for byte"),
    "backup": Command("backup", "backup", "job.BackupSettings", "copy databases in use to the bucket, or back"),
    "prune": Command("versions.prune", "prune", "versions.PruneSettings", "free what no version names"),
}


def step(command: str, flags: dict[str, Any]) -> Result:
    """Run one command of a chain, shown as a person would type it. Raises what its stage raises."""
    shown = " ".join(f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in flags.items())
    print(f"\n$ catsdogs {command} {shown}", file=sys.stderr, flush=True)
    begin_step()
    answer = COMMANDS[command].run(COMMANDS[command].settings_type()(**flags))
    print(answer.text(), file=sys.stderr, flush=True)
    return answer
