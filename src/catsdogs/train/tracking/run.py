"""One MLflow run. What it records carries the time at which it happened, however late a server takes it."""

import json
import math
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from catsdogs.log import event
from catsdogs.mlflow_server import client, without_password
from catsdogs.train.tracking.sender import Sender
from catsdogs.train.tracking.usage import Usage

PASSING = (408, 429)  # of the refusals those that another attempt may mend
HURRY = 5.0  # seconds for what is left when a training was interrupted: spot machines give 10 to 30


class MlflowTracker:
    """Opening the run fails where there is no server; whatever is recorded afterwards is kept until it is sent."""

    def __init__(self, uri: str, experiment: str, wait_seconds: float, tags: dict[str, str]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own, about its own dependencies
            self._client = client(uri)
            run = self._client.create_run(self._experiment(uri, experiment), tags=tags)
        self.run_id: str | None = run.info.run_id
        self._wait_seconds, self._closing = wait_seconds, False
        # A database that is locked or damaged may be well again.
        self._sender = Sender(_refused if uri.startswith("http") else lambda _: False)
        self._usage = Usage(self.metrics)
        event("tracking", run_id=self.run_id, uri=without_password(uri), experiment=experiment)

    def _experiment(self, uri: str, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            identity: str = found.experiment_id
            return identity
        location = None
        if uri.startswith("sqlite:///"):  # artifacts beside the database, wherever the command was started
            location = (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri()
        created: str = self._client.create_experiment(name, artifact_location=location)
        return created

    def parameters(self, values: dict[str, Any]) -> None:
        from mlflow.entities import Param

        rows = [Param(name, str(value)) for name, value in values.items()]
        self._put(lambda: self._client.log_batch(self.run_id, params=rows))

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        rows = [Metric(name, value, now, step) for name, value in values.items()]
        self._put(lambda: self._client.log_batch(self.run_id, metrics=rows), live=True)

    def photos(self, name: str, digest: str, counts: dict[str, dict[str, int]]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(name=name, digest=digest[:36], source_type="local", source=json.dumps({"splits": digest}),
                          profile=json.dumps(counts))
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
        self._put(lambda: self._client.log_inputs(self.run_id, inputs))

    def artifacts(self, paths: list[Path]) -> None:
        for path in map(str, paths):
            self._put(partial(self._client.log_artifact, self.run_id, path))

    def close(self, status: str, reason: str = "", *, seconds: float = math.inf) -> None:
        """Within so many seconds; where it is not finished, within HURRY. Called again after it was cut short, it only
        goes on waiting."""
        if not self._closing:
            self._closing = True
            self._usage.stop()
            if reason:
                self._put(lambda: self._client.set_tag(self.run_id, "error", reason[:5000]))
            ended = int(1000 * time.time())
            self._put(lambda: self._client.set_terminated(self.run_id, status=status, end_time=ended))
        hurry = (None if seconds == math.inf else seconds) if status == "FINISHED" else min(seconds, HURRY)
        if unsent := self._sender.close(self._wait_seconds, at_most=hurry):
            event("tracking_lost", because=self._sender.trouble or "the server did not answer at the end",
                  unsent=unsent, run_id=self.run_id)

    def _put(self, call: Callable[[], object], *, live: bool = False) -> None:
        def send() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call()

        self._sender.put(send, live=live)


def _refused(error: Exception) -> bool:
    """Whether the server said no, and would again: sending the same once more mends nothing."""
    from mlflow.exceptions import MlflowException
    from requests import HTTPError

    if isinstance(error, HTTPError):  # of files, which go another way than figures
        status = error.response.status_code if error.response is not None else 0
    elif isinstance(error, MlflowException):  # one without an answer says 500
        status = int(error.get_http_status_code())
    else:
        return False
    return 400 <= status < 500 and status not in PASSING
