"""Many transfers at a time, few waiting: whoever produces work is held up when the network is slower."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self


class Transfers:
    """A pool of `workers` threads. Leaving the block waits for all work and raises the first error of it."""

    def __init__(self, workers: int, waiting: int = 0) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="transfer")
        self._room = threading.Semaphore(workers + waiting)
        self._error: BaseException | None = None

    def start(self, work: Callable[..., None], *arguments: Any) -> None:
        """Waits while there is no room. Raises the first error of earlier work."""
        self._room.acquire()
        if self._error:
            self._room.release()
            raise self._error
        self._pool.submit(self._run, work, arguments)

    def _run(self, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            if self._error is None:
                work(*arguments)
        except BaseException as error:
            self._error = self._error or error
        finally:
            self._room.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self._error = self._error or error  # what waits is not begun
        self._pool.shutdown(wait=True, cancel_futures=error is not None)
        if error is None and self._error is not None:
            raise self._error
