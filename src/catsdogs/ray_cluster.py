"""Ray: the same map over the machines of a cluster, which may lose some of them on the way.

Nothing is kept in the cluster but what is in flight; Ray's own dashboard, usage statistics and logs are off in the
one that is started here. Ray hands objects over by pickle, among the machines of one cluster: who may join it may
run code in it, so its ports belong in a private network (docs/scale.md).
"""

import itertools
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.machine import cores
from catsdogs.settings.cluster import keep_to_itself, own_token

Task = TypeVar("Task")
Answer = TypeVar("Answer")
Shared = TypeVar("Shared")

STORE_BYTES = 200_000_000  # of a cluster started here: tasks and answers are small
LOSSES = 4  # times that one task may lose its worker: a photo that kills every process must not do so for ever
IN_FLIGHT = 4  # tasks a core
CONNECT_SECONDS = 10.0
COUNT_SECONDS = 5.0  # between looks at how large the cluster is

_held: dict[str, Any] = {}  # in a worker process: what every task of one map needs, by its reference


class Cluster:
    """An Engine. Work is a function of an importable module, as it is for processes."""

    def __init__(self) -> None:
        self._slots, self._counted = 0, float("-inf")

    def map(
        self, work: Callable[[Shared, Task], Answer], shared: Shared, tasks: Iterable[Task]
    ) -> Iterator[Answer]:
        # In a list, so that Ray hands over the reference and not a new copy for every task.
        reference = [ray.put(shared)]
        remote = ray.remote(_call).options(num_cpus=1, max_retries=LOSSES, retry_exceptions=False)
        remaining = iter(tasks)
        waiting: deque[ray.ObjectRef[Any]] = deque()
        # Where this ends early, what is in flight ends by itself or with the cluster. Ray 2.60 may not be asked to
        # cancel it: of a task that is answered in that moment it "tried to complete a task that was not pending", and
        # ends this whole process.
        while True:
            room = IN_FLIGHT * self._cores() - len(waiting)
            waiting.extend(remote.remote(work, reference, task)
                           for task in itertools.islice(remaining, max(0, room)))
            if not waiting:
                return
            answer = _answer(waiting[0])
            waiting.popleft()
            yield answer

    def _cores(self) -> int:
        """Of the cluster as it is now: machines join and leave."""
        if time.monotonic() - self._counted > COUNT_SECONDS:
            self._counted = time.monotonic()
            self._slots = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
        return max(1, self._slots)


@contextmanager
def connected(address: str | None, workers: int) -> Iterator[Cluster]:
    """Join the cluster at `address`, or start one on this machine with `workers` processes (0: one per usable core).

    One that this process has joined already is used and left running.
    """
    if ray.is_initialized():
        yield Cluster()
        return
    keep_to_itself()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    with own_token() if address is None else nullcontext():
        if address is None:
            _start(workers or cores(), quiet)
        else:
            _join(address, quiet)
        try:
            yield Cluster()
        finally:
            ray.shutdown()


def _start(workers: int, quiet: dict[str, Any]) -> None:
    try:
        ray.init(address="local", num_cpus=workers, num_gpus=0, object_store_memory=STORE_BYTES,
                 include_dashboard=False, **quiet)
    except Exception as error:  # Ray raises plain ones where its processes do not come up
        ray.shutdown()
        raise CatsdogsError(f"Ray does not start on this machine ({_first_line(error)}): leave out --engine ray, or "
                            "run again when the machine is less busy.") from error


def _join(address: str, quiet: dict[str, Any]) -> None:
    try:
        if address != "auto":  # Ray itself would go on trying for ten minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address=address, **quiet)
    except (OSError, ValueError) as error:
        raise UsageError(f"--ray-address {address}: no Ray cluster answers there ({_first_line(error)}): name the "
                         "host:port that `ray start --head` printed, `auto` inside a cluster, or leave the flag out."
                         ) from None


def _call(work: Callable[[Any, Any], Any], reference: list[Any], task: Any) -> Any:
    key = reference[0].hex()
    if key not in _held:
        _held.clear()  # of an earlier map
        _held[key] = ray.get(reference[0])
    return work(_held[key], task)


def _answer(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from None
    except RayError as error:
        raise CatsdogsError(
            f"Ray lost the worker of one task {LOSSES + 1} times ({type(error).__name__}: {_first_line(error)}), often "
            "for lack of memory: run again with fewer --workers or more memory a core; finished work is kept."
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]
