"""What the tests let workers do: functions of a module, which Ray names and does not copy."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from catsdogs.errors import BadImage, CatsdogsError


def plus(shared: int, number: int) -> int:
    return shared + number


def process_and_copy(shared: dict[str, list[int]], number: int) -> tuple[int, int]:
    """Another copy of the shared value would be another object."""
    return os.getpid(), id(shared)


def refuse(reason: str, number: int) -> None:
    raise BadImage(reason, "no photo")


def fail(message: str, number: int) -> None:
    raise CatsdogsError(message)


def die(shared: None, number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def slow_number(shared: None, number: int) -> tuple[int, int]:
    time.sleep(0.1)
    return number, os.getpid()


def dying_once(shared: tuple[Callable[[object, object], object], object, str], task: object) -> object:
    """The work; the first process to have done a task dies before it can say so."""
    work, inner, mark = shared
    answer = work(inner, task)
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return answer
    os.kill(os.getpid(), signal.SIGKILL)
    return answer


def slowly(shared: tuple[Callable[[object, object], object], object], task: object) -> object:
    """The work, slow enough for something to happen meanwhile."""
    time.sleep(0.3)
    work, inner = shared
    return work(inner, task)
