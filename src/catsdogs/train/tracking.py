"""Records a run in MLflow. A tracker that cannot record says so once, and never stops a training."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from catsdogs.log import event
from catsdogs.mlflow_server import DEFAULTS, NOTHING, first_line, probe, without_password


class Tracker(Protocol):
    def parameters(self, values: dict[str, Any]) -> None: ...
    def metrics(self, values: dict[str, float], step: int = 0) -> None: ...
    def artifacts(self, paths: list[Path]) -> None: ...
    def close(self, status: str, reason: str = "") -> None: ...


class NullTracker:
    """Does nothing; used when nothing is recorded."""

    def parameters(self, values: dict[str, Any]) -> None: ...
    def metrics(self, values: dict[str, float], step: int = 0) -> None: ...
    def artifacts(self, paths: list[Path]) -> None: ...
    def close(self, status: str, reason: str = "") -> None: ...


@contextmanager
def tracked(uri: str, experiment: str) -> Iterator[Tracker]:
    """A run that is open from the first second and is closed as FINISHED, FAILED or KILLED, whatever happens."""
    tracker = _open(uri, experiment)
    try:
        yield tracker
    except KeyboardInterrupt:
        tracker.close("KILLED")
        raise
    except BaseException as error:
        tracker.close("FAILED", f"{type(error).__name__}: {error}")
        raise
    tracker.close("FINISHED")


def _open(uri: str, experiment: str) -> Tracker:
    if uri == NOTHING:
        return NullTracker()
    try:
        probe(uri)
        return MlflowTracker(uri, experiment)
    except ModuleNotFoundError:
        return _without("mlflow is not installed: pip install 'catsdogs[train]'")
    except Exception as error:  # whatever a server, a proxy or a database answers: training goes on without it
        return _without(f"{without_password(uri)} cannot be used: {first_line(error)}")


def _without(reason: str) -> NullTracker:
    event("not_tracked", because=reason)
    return NullTracker()


class MlflowTracker:
    """One MLflow run. The first call that fails is reported; the calls after it are dropped."""

    def __init__(self, uri: str, experiment: str) -> None:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own, about its own dependencies
            import mlflow

            for chatty in ("mlflow", "alembic"):
                logging.getLogger(chatty).setLevel(logging.ERROR)
            self._client = mlflow.MlflowClient(tracking_uri=uri)
            self._run_id = self._client.create_run(self._experiment(uri, experiment)).info.run_id
        self._alive = True
        event("tracking", run_id=self._run_id, uri=without_password(uri), experiment=experiment)

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
        self._try(lambda: [self._client.log_param(self._run_id, name, value) for name, value in values.items()])

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        self._try(lambda: [
            self._client.log_metric(self._run_id, name, value, step=step) for name, value in values.items()
        ])

    def artifacts(self, paths: list[Path]) -> None:
        self._try(lambda: [self._client.log_artifact(self._run_id, str(path)) for path in paths])

    def close(self, status: str, reason: str = "") -> None:
        if reason:
            self._try(lambda: self._client.set_tag(self._run_id, "error", reason[:5000]))
        self._try(lambda: self._client.set_terminated(self._run_id, status=status))

    def _try(self, call: Callable[[], Any]) -> None:
        if not self._alive:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call()
        except Exception as error:  # as above: whatever it answers, training goes on
            self._alive = False
            event("tracking_lost", because=first_line(error))
