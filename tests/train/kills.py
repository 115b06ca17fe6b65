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
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import torch

from catsdogs.settings.training import TrainSettings
from catsdogs.weights import load_plain

DOING = ("starting", "step", "saving", "validating", "ending")
LONGEST = 300.0  # seconds of one process
STOPPED = 143


def _command(settings: TrainSettings, doing: "Synchronized[int]", said: str, save_seconds: float | None) -> None:
    from catsdogs.cli import guarded
    from catsdogs.train import checkpoint, device, loop, stage

    sys.stderr = open(said, "a")  # noqa: SIM115  (the process ends with it)

    def tells(holder: Any, name: str, what: str, then: str = "step") -> None:
        real: Callable[..., Any] = getattr(holder, name)

        @functools.wraps(real)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            doing.value = DOING.index(what)
            result = real(*arguments, **named)
            doing.value = DOING.index(then)
            return result

        setattr(holder, name, wrapped)

    tells(loop, "step_on", "step")
    tells(checkpoint.Checkpoint, "save", "saving")
    tells(loop._Keeper, "validated", "validating")
    tells(stage, "calibrate", "ending", then="ending")
    device.cores = lambda: 1  # a tiny network gains nothing from a second thread, and waits for it on a busy machine
    if save_seconds is not None:
        loop.SAVE_SECONDS = save_seconds
    status = guarded("train", lambda: 0 if stage.train(settings) else 1)
    sys.stderr.flush()
    os._exit(status)


def start(
    settings: TrainSettings, said: Path, save_seconds: float | None = None
) -> tuple[ForkServerProcess, "Synchronized[int]"]:
    """The training in a process of its own; `save_seconds` instead of a minute between its checkpoints."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["catsdogs.train.stage", "catsdogs.cli"])
    doing: Synchronized[int] = context.Value("i", 0)
    process = context.Process(target=_command, args=(settings, doing, str(said), save_seconds))
    process.start()
    return process, doing


def ended(process: ForkServerProcess, said: Path) -> int:
    process.join(LONGEST)
    assert process.exitcode is not None, f"it hangs: {said.read_text()}"
    return process.exitcode


def undisturbed(settings: TrainSettings, said: Path) -> float:
    """Train in peace; returns how long it took."""
    began = time.monotonic()
    process, _ = start(settings, said)
    assert ended(process, said) == 0, said.read_text()
    return time.monotonic() - began


def hunted(
    settings: TrainSettings, folder: Path, seed: int, seconds: float, kills: int, terms: int = 0,
    save_seconds: float | None = None,
) -> list[dict[str, Any]]:
    """Send SIGKILL `kills` times and SIGTERM `terms` times, each to a new start of the same command, then let it end.

    Each signal comes at a random moment of the `seconds` that an undisturbed run takes, or a random moment after the
    process has begun to save or to validate. Returns what each met. Raises AssertionError where one start fails.
    """
    generator, said, met = random.Random(seed), folder / "said.txt", []
    numbers = [signal.SIGKILL] * kills + [signal.SIGTERM] * terms
    generator.shuffle(numbers)
    for number in numbers:
        aim = generator.choice(["anywhere", "anywhere", "saving", "validating"])
        delay = generator.uniform(0, seconds) if aim == "anywhere" else generator.uniform(0, 0.02)
        process, doing = start(settings, said, save_seconds)
        began = time.monotonic()
        while aim != "anywhere" and process.is_alive() and DOING[doing.value] != aim:
            assert time.monotonic() - began < LONGEST, f"it hangs: {said.read_text()}"
        process.join(delay)
        found, sent = DOING[doing.value], time.monotonic()
        if process.exitcode is None:
            os.kill(int(process.pid or 0), number)
        status = ended(process, said)
        if status == 0:
            met.append({"signal": "none", "met": "its end"})
            break
        assert status in (-number, STOPPED), f"ended with {status}: {said.read_text()}"
        met.append({"signal": number.name, "met": found, "seconds_to_exit": round(time.monotonic() - sent, 3)})
    else:
        process, _ = start(settings, said, save_seconds)
        assert ended(process, said) == 0, said.read_text()
    return met


def same_model(one: Path, other: Path) -> bool:
    """Whether two model.pt hold the same tensors, to the bit, and the same figures."""
    first, second = load_plain(one), load_plain(other)
    return first["card"]["metrics"] == second["card"]["metrics"] and all(
        torch.equal(first["weights"][name], second["weights"][name])
        for name in first["weights"].keys() | second["weights"].keys())
