"""The table of commands: which function runs which stage, with which settings. Imports nothing of them."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


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

    def settings_type(self) -> Any:
        module, _, name = self.settings.partition(".")
        return getattr(importlib.import_module(f"catsdogs.settings.{module}"), name)

    def run(self, settings: Any) -> Result:
        """Import the stage and run it. Raises what the stage raises."""
        stage: Callable[[Any], Result] = getattr(importlib.import_module(f"catsdogs.{self.module}"), self.function)
        return stage(settings)


COMMANDS = {
    "demo": Command("demo", "demo", "demo.DemoSettings", "the whole chain, on drawn or real photos"),
    "sample": Command("sample.stage", "sample", "data.SampleSettings", "draw labelled pictures to try everything with"),
    "ingest": Command("ingest.stage", "ingest", "data.IngestSettings", "raw photos -> checked, one folder per class"),
    "doctor": Command("doctor.stage", "doctor", "doctor.DoctorSettings", "examine ingested photos", "data_dir"),
    "preprocess": Command("preprocess.stage", "preprocess", "data.PreprocessSettings", "-> resized, split by content"),
    "train": Command("train.stage", "train", "training.TrainSettings", "-> model.pt, model.onnx, metrics and plots"),
    "models": Command("train.compare", "models", "training.ModelsSettings", "list the network variants"),
    "package": Command("package", "package", "training.PackageSettings", "model.pt -> model.onnx, checked"),
    "lineage": Command("lineage", "lineage", "training.LineageSettings", "what a model was made from", "model_path"),
    "serve": Command("serve.stage", "serve", "serving.ServeSettings", "answer predictions over HTTP"),
    "key": Command("serve.new_key", "new_key", "serving.KeySettings", "make an API key for the service"),
    "smoke-test": Command("evaluate.smoke", "smoke_test", "serving.SmokeTestSettings", "check a running service"),
    "eval-batch": Command("evaluate.batch", "eval_batch", "serving.EvalBatchSettings", "choose labelled test photos"),
    "post-deploy-eval": Command(
        "evaluate.post_deploy", "post_deploy_eval", "serving.PostDeployEvalSettings", "measure a running service"
    ),
    "fetch": Command("versions.fetch", "fetch", "versions.FetchSettings", "download Microsoft's archive of photos"),
    "push": Command("versions.push", "push", "versions.PushSettings", "store this commit's folders in a bucket"),
    "pull": Command("versions.pull", "pull", "versions.PullSettings", "get a commit's folders back from it"),
    "versions": Command("versions.listing", "versions", "versions.VersionsSettings", "list what the bucket holds"),
    "verify": Command("versions.verify", "verify", "versions.VerifySettings", "read it again, byte for byte"),
    "prune": Command("versions.prune", "prune", "versions.PruneSettings", "free what no version names"),
}
