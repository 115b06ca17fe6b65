"""Processes that look through the stages' folders while this one imports its HTTP client and asks the bucket.

Both keep a processor busy, so that threads of one Python would only take turns.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from catsdogs.versions.disk import Found, Memory, scan

if TYPE_CHECKING:
    from catsdogs.settings.versions import TreeSettings


class Same(NamedTuple):
    """A stage that is as an earlier push left it."""

    tree: str  # digest
    files: int
    size: int  # bytes of all files

    @classmethod
    def of(cls, memory: Memory, found: Found) -> "Same | None":
        tree = memory.tree(found)
        return cls(tree, len(found.stamps), found.size) if tree else None


@contextmanager
def looking(settings: "TreeSettings", stages: list[str]) -> Iterator[Callable[[str], Same | None]]:
    """Look at those of `stages` that are remembered. Within the block, its value waits for what was found of one.

    None means: look yourself. Something changed, or cannot be pushed, or there was no looking aside.
    """
    with ExitStack() as ends:
        pipes = {}
        for stage in stages:
            memory = Memory(settings, stage)
            if memory.whole and _alone():
                with suppress(OSError):  # no more processes or pipes: nothing is lost but time
                    pipes[stage] = ends.enter_context(_started(settings, stage, memory))
        yield lambda stage: _heard(pipes[stage]) if stage in pipes else None


def _alone() -> bool:
    """Whether the kernel knows one thread of this process: a lock that another one holds is never freed in a fork.
    Only Linux says so."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


@contextmanager
def _started(settings: "TreeSettings", stage: str, memory: Memory) -> Iterator[int]:
    with ExitStack() as ends:
        ear, mouth = os.pipe()
        ends.callback(os.close, ear)
        try:
            child = os.fork()
            if child == 0:
                _tell(mouth, settings, stage, memory)
        finally:
            os.close(mouth)
        ends.callback(_reap, child)
        yield ear


def _reap(child: int) -> None:
    with suppress(ChildProcessError):  # whoever started us may have told the kernel not to keep any
        os.waitpid(child, 0)


def _tell(mouth: int, settings: "TreeSettings", stage: str, memory: Memory) -> NoReturn:
    """What goes wrong here is found again, and said, by who looks next."""
    try:
        if same := Same.of(memory, scan(settings, stage)):
            os.write(mouth, json.dumps(same).encode())  # so short that it arrives in one piece or not at all
    finally:
        os._exit(0)  # nothing of the other process's is written out or tidied up twice


def _heard(ear: int) -> Same | None:
    told = os.read(ear, 4096)  # nothing, once the other end is closed
    return Same(*json.loads(told)) if told else None
