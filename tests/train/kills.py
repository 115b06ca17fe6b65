"""A training that is killed again and again and started again, until it ends: what a spot machine does to it.

Real processes and real signals; a server that has imported torch forks them, so that a kill costs half a second and not
five. The child says in shared memory what it is doing, so that kills can be aimed, and that a report can say what they
met.
"""

import functools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, Literal

import torch

from catsdogs.settings.training import TrainSettings
from catsdogs.weights import load_plain

DOING = ("starting", "step", "saving", "validating", "ending")
LONGEST = 300.0  # seconds of one process
STOPPED = 143
Moment = Literal["before", "within", "after"]


@dataclass(frozen=True)
class Child:
    process: ForkServerProcess
    doing: "Synchronized[int]"  # a place in DOING
    steps: "Synchronized[int]"  # that this process has begun


def _command(
    settings: TrainSettings, doing: "Synchronized[int]", steps: "Synchronized[int]", said: str,
    save_seconds: float | None, dies: tuple[int, Moment] | None,
) -> None:
    from catsdogs.cli import guarded
    from catsdogs.train import checkpoint, device, keeper, loop, stage, validation

    sys.stderr = open(said, "a")  # noqa: SIM115  (the process ends with it)

    def tells(holder: Any, name: str, what: str, then: str = "step") -> None:
        real: Callable[..., Any] = getattr(holder, name)

        @functools.wraps(real)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            doing.value = DOING.index(what)
            steps.value += name == "step_on"
            result = real(*arguments, **named)
            doing.value = DOING.index(then)
            return result

        setattr(holder, name, wrapped)

    tells(loop, "step_on", "step")
    tells(checkpoint.Checkpoint, "save", "saving")
    tells(keeper.Keeper, "_validated", "validating")
    tells(stage, "calibrate", "ending", then="ending")
    if dies is not None:
        _die_validating(keeper.Keeper, validation, *dies)
    device.cores = lambda: 1  # a tiny network gains nothing from a second thread, and waits for it on a busy machine
    if save_seconds is not None:
        keeper.SAVE_SECONDS = save_seconds
    status = guarded("train", lambda: 0 if stage.train(settings) else 1)
    sys.stderr.flush()
    os._exit(status)


def _die_validating(keeper: Any, validation: Any, number: int, moment: Moment) -> None:
    """SIGKILL at a moment of the n-th validation, from 1. A signal from outside would come too late: it takes 5 ms."""
    validated, batches, count = keeper._validated, validation.evaluation_batches, 0

    def die(at: Moment) -> None:
        if at == moment and count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        die("before")
        result = validated(*arguments, **named)
        die("after")
        return result

    def some(*arguments: Any, **named: Any) -> Any:
        for batch in batches(*arguments, **named):
            yield batch
            die("within")  # once this batch has been answered

    keeper._validated, validation.evaluation_batches = dying, some


def start(
    settings: TrainSettings, said: Path, save_seconds: float | None = None, dies: tuple[int, Moment] | None = None
) -> Child:
    """The training in a process of its own; `save_seconds` instead of a minute between its checkpoints.

    With `dies` it is killed in its n-th validation.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["catsdogs.train.stage", "catsdogs.cli"])
    doing, steps = context.Value("i", 0), context.Value("i", 0)
    process = context.Process(target=_command, args=(settings, doing, steps, str(said), save_seconds, dies))
    process.start()
    return Child(process, doing, steps)


def ended(child: Child, said: Path) -> int:
    child.process.join(LONGEST)
    assert child.process.exitcode is not None, f"it hangs: {said.read_text()}"
    return child.process.exitcode


def dead_process() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def undisturbed(settings: TrainSettings, said: Path) -> int:
    """Train in peace; returns how many steps it took."""
    child = start(settings, said)
    assert ended(child, said) == 0, said.read_text()
    return child.steps.value


def hunted(
    settings: TrainSettings, folder: Path, seed: int, steps: int, kills: int, terms: int = 0,
    save_seconds: float | None = None,
) -> list[dict[str, Any]]:
    """Send SIGKILL `kills` times and SIGTERM `terms` times, each to a new start of the same command, then let it end.

    Each signal comes up to 30 ms after a random step, or after the process has begun to save or to validate, the last
    one perhaps after the last step of all. `steps` are those of a whole training: no start but the last takes more than
    its share of them. Returns what each met. Raises AssertionError where a start fails, or ends before its signal.
    """
    generator, said, met = random.Random(seed), folder / "said.txt", []
    numbers = [signal.SIGKILL] * kills + [signal.SIGTERM] * terms
    generator.shuffle(numbers)
    share = max(1, steps // (len(numbers) + 1))
    for place, number in enumerate(numbers, 1):
        child = start(settings, said, save_seconds)
        if place == len(numbers) and generator.random() < 0.5:
            _wait(child, said, lambda child: DOING[child.doing.value] == "ending")
        else:
            least, aim = generator.randint(0, share), generator.choice([*DOING[:4], "step"])
            _wait(child, said, lambda child, least=least, aim=aim: (  # type: ignore[misc]
                aim == "starting" or child.steps.value >= least and DOING[child.doing.value] == aim))
        time.sleep(generator.uniform(0, 0.03))
        found, sent = DOING[child.doing.value], time.monotonic()
        assert child.process.is_alive(), f"it ended before its signal: {said.read_text()}"
        os.kill(int(child.process.pid or 0), number)
        status = ended(child, said)
        assert status in (-number, STOPPED), f"ended with {status}: {said.read_text()}"
        met.append({"signal": number.name, "met": found, "seconds_to_exit": round(time.monotonic() - sent, 3)})
    assert ended(start(settings, said), said) == 0, said.read_text()
    return met


def _wait(child: Child, said: Path, reached: Callable[[Child], bool]) -> None:
    began = time.monotonic()
    while child.process.is_alive() and not reached(child):
        assert time.monotonic() - began < LONGEST, f"it hangs: {said.read_text()}"
        time.sleep(0.0005)


def same_model(one: Path, other: Path) -> bool:
    """Whether two model.pt hold the same tensors, to the bit, and the same figures."""
    first, second = load_plain(one), load_plain(other)
    return first["card"]["metrics"] == second["card"]["metrics"] and all(
        torch.equal(first["weights"][name], second["weights"][name])
        for name in first["weights"].keys() | second["weights"].keys())
