"""Processes that share out work, keep its order, and let Ctrl-C through."""

import itertools
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from catsdogs.errors import CatsdogsError
from catsdogs.machine import cores

Task = TypeVar("Task")
Answer = TypeVar("Answer")
Shared = TypeVar("Shared")

_shared: Any = None  # in a worker process: what every task of this run needs


def in_processes(
    work: Callable[[Shared, Task], Answer], shared: Shared, tasks: Iterable[Task], workers: int = 0
) -> Iterator[Answer]:
    """Yield `work(shared, task)` in the order of the tasks. `workers` 0 means one process per usable core.

    `shared` reaches each process once, not with every task. At most a few tasks a worker are in flight, so memory
    does not grow with their number. The first error of a task ends the run; tasks not yet started are dropped.
    """
    workers = workers or cores()
    remaining = iter(tasks)
    pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=(shared,))
    waiting: deque[Future[Answer]] = deque()
    try:
        waiting.extend(pool.submit(_call, work, task) for task in itertools.islice(remaining, 4 * workers))
        while waiting:
            answer = waiting.popleft().result()
            waiting.extend(pool.submit(_call, work, task) for task in itertools.islice(remaining, 1))
            yield answer
    except BrokenProcessPool:
        raise CatsdogsError(
            "A worker process was killed, often for lack of memory: run again with fewer --workers; "
            "finished work is kept."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def chunked(items: Sequence[Task], size: int) -> Iterator[Sequence[Task]]:
    """Tasks of several items each, so that handing one over costs little beside the work."""
    return (items[start:start + size] for start in range(0, len(items), size))


def _begin(shared: Any) -> None:
    global _shared
    _shared = shared
    # Ctrl-C reaches every process of the terminal; only the parent may decide what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _call(work: Callable[[Any, Task], Answer], task: Task) -> Answer:
    return work(_shared, task)
