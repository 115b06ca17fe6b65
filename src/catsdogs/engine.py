"""Where the work of a stage is done: processes of this machine, or a Ray cluster. Stages see `Engine` only."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from catsdogs.errors import UsageError
from catsdogs.pool import in_processes
from catsdogs.settings.data import EngineSettings

Task = TypeVar("Task")
Answer = TypeVar("Answer")
Shared = TypeVar("Shared")


class Engine(Protocol):
    def map(
        self, work: Callable[[Shared, Task], Answer], shared: Shared, tasks: Iterable[Task]
    ) -> Iterator[Answer]:
        """Yield `work(shared, task)` in the order of the tasks.

        `shared` reaches each process once. At most a few tasks a process are in flight, so memory does not grow with
        their number. The first error of a task ends the run. A task may be done twice: it must be harmless.
        """


@dataclass(frozen=True)
class Local:
    """Processes of this machine: the default, and on one machine the faster."""

    workers: int = 0  # 0: one per usable core

    def map(
        self, work: Callable[[Shared, Task], Answer], shared: Shared, tasks: Iterable[Task]
    ) -> Iterator[Answer]:
        return in_processes(work, shared, tasks, self.workers)


@contextmanager
def open_engine(settings: EngineSettings) -> Iterator[Engine]:
    """The engine that `--engine` names. Raises UsageError for an address without Ray, and for one nobody answers."""
    if settings.engine == "local":
        if settings.ray_address is not None:
            raise UsageError("--ray-address is for Ray: add --engine ray, or leave it out.")
        yield Local(settings.workers)
        return
    from catsdogs.ray_cluster import connected

    with connected(settings.ray_address, settings.workers) as cluster:
        yield cluster
