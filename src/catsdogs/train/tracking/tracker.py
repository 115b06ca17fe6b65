"""Records a run. A tracker that cannot record says so once, and never stops or slows a training."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from catsdogs.log import event
from catsdogs.mlflow_server import NOTHING, first_line, probe, without_password
from catsdogs.train.interruption import LEAVE_WITHIN, Stopped, ended_by_sigterm


class CutShort(Exception):
    """Ends a run that is neither done nor wrong, because there is no more time for it: it is recorded as KILLED."""


class Tracker(Protocol):
    run_id: str | None  # None where nothing is recorded

    def parameters(self, values: dict[str, Any]) -> None: ...

    def metrics(self, values: dict[str, float], step: int = 0) -> None: ...

    def photos(self, name: str, digest: str, counts: dict[str, dict[str, int]]) -> None:
        """What the run learns from: the digest of its splits, and how many photos of each class they hold."""

    def artifacts(self, paths: list[Path]) -> None: ...

    def close(self, status: str, reason: str = "", *, seconds: float = math.inf) -> None: ...


class NullTracker:
    """Does nothing; used when nothing is recorded."""

    run_id: str | None = None

    def parameters(self, values: dict[str, Any]) -> None: ...
    def metrics(self, values: dict[str, float], step: int = 0) -> None: ...
    def photos(self, name: str, digest: str, counts: dict[str, dict[str, int]]) -> None: ...
    def artifacts(self, paths: list[Path]) -> None: ...
    def close(self, status: str, reason: str = "", *, seconds: float = math.inf) -> None: ...


@contextmanager
def tracked(
    uri: str, experiment: str, wait_seconds: float = 30.0, tags: dict[str, str] | None = None
) -> Iterator[Tracker]:
    """A run that is open from the first second and is closed as FINISHED, FAILED or KILLED, whatever happens.

    At its end it waits up to `wait_seconds` for a server that went away meanwhile. SIGTERM ends it like an error, with
    SystemExit: steps of a training, which end with a checkpoint, watch for it themselves and raise Stopped.
    """
    with ended_by_sigterm():
        tracker = _open(uri, experiment, wait_seconds, tags or {})
        try:
            yield tracker
        except (KeyboardInterrupt, SystemExit, CutShort):
            tracker.close("KILLED")
            raise
        except Stopped as stopped:
            tracker.close("KILLED", seconds=stopped.seconds_left())
            raise
        except BaseException as error:
            tracker.close("FAILED", f"{type(error).__name__}: {error}")
            raise
        try:
            tracker.close("FINISHED")
        except SystemExit:  # while it waited for a server: the work itself is done
            tracker.close("FINISHED", seconds=LEAVE_WITHIN)


def _open(uri: str, experiment: str, wait_seconds: float, tags: dict[str, str]) -> Tracker:
    if uri == NOTHING:
        return NullTracker()
    try:
        probe(uri)
        from catsdogs.train.tracking.run import MlflowTracker

        return MlflowTracker(uri, experiment, wait_seconds, tags)
    except ModuleNotFoundError:
        return _without("mlflow is not installed: pip install 'catsdogs[train]'")
    except Exception as error:  # whatever a server, a proxy or a database answers: training goes on without it
        return _without(f"{without_password(uri)} cannot be used: {first_line(error)}")


def _without(reason: str) -> NullTracker:
    event("not_tracked", because=reason)
    return NullTracker()
