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

    def settings_type(self) -> Any:
        return getattr(importlib.import_module("catsdogs.settings"), self.settings)

    def run(self, settings: Any) -> Result:
        """Import the stage and run it. Raises what the stage raises."""
        stage: Callable[[Any], Result] = getattr(importlib.import_module(f"catsdogs.{self.module}"), self.function)
        return stage(settings)


COMMANDS = {
    "demo": Command("demo", "demo", "DemoSettings", "the whole chain, on drawn or real photos"),
    "sample": Command("sample.stage", "sample", "SampleSettings", "draw labelled pictures to try everything with"),
    "ingest": Command("ingest.stage", "ingest", "IngestSettings", "raw photos -> checked, one folder per class"),
    "preprocess": Command("preprocess.stage", "preprocess", "PreprocessSettings", "-> resized, split by content"),
    "train": Command("train.stage", "train", "TrainSettings", "-> model.pt, model.onnx, metrics and plots"),
    "models": Command("train.compare", "models", "ModelsSettings", "list the network variants"),
    "package": Command("package", "package", "PackageSettings", "model.pt -> model.onnx, checked against each other"),
    "serve": Command("serve.stage", "serve", "ServeSettings", "answer predictions over HTTP"),
    "smoke-test": Command("evaluate.smoke", "smoke_test", "SmokeTestSettings", "check a running service"),
    "eval-batch": Command("evaluate.batch", "eval_batch", "EvalBatchSettings", "choose labelled test photos"),
    "post-deploy-eval": Command(
        "evaluate.post_deploy", "post_deploy_eval", "PostDeployEvalSettings", "measure a running service on them"
    ),
}
