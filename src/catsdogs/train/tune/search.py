"""Trials by a tree-structured Parzen estimator (Bergstra et al. 2011), the hopeless given up early, in processes."""

import fcntl
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from catsdogs.errors import CatsdogsError
from catsdogs.log import event
from catsdogs.machine import end_with_parent, take_share
from catsdogs.settings.tuning import TuneSettings
from catsdogs.train.interruption import Stopped, watched
from catsdogs.train.tune.trial import OutOfTime, objective

FIRST_WHOLE = 3  # trials that are never given up: there is nothing to compare them with
APART = 10_000  # between the seeds of processes
TOLD = (CatsdogsError, OSError, MemoryError, ModuleNotFoundError)  # what the command line has a sentence for
LOOK_SECONDS = 0.2  # between looks at the processes


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Raises CatsdogsError where another search holds the folder: what runs there would be taken for cut short."""
    with (folder / "study.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CatsdogsError(f"Another search is at work in {folder}: wait for it, or name another --artifact-dir."
                                ) from None
        yield


def open_study(storage: str, name: str, seed: int) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    return optuna.create_study(
        storage=storage, study_name=name, direction="maximize", load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=seed), pruner=optuna.pruners.MedianPruner(FIRST_WHOLE, 1))


def forget_cut_short(study: Any) -> None:
    """Trials that seem to be running, though nobody is at work any more."""
    import optuna

    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def search(settings: TuneSettings, storage: str, name: str, parent: str | None, deadline: float,
           seed: int) -> None:
    """`seed` differs from call to call, or a search that goes on would suggest what it has tried."""
    arguments = (settings, storage, name, parent, deadline)
    if settings.processes == 1:
        _work(*arguments, seed)
        return
    context = multiprocessing.get_context("spawn")
    beginning, failures = context.Lock(), context.SimpleQueue()
    workers = [context.Process(target=_share, args=(
        os.getpid(), beginning, failures, *arguments, seed + APART * number)) for number in range(settings.processes)]
    failed = None  # what the first that failed ended with; the others end because of it
    with watched() as interruption:
        try:
            for worker in workers:
                worker.start()
            while any(worker.is_alive() for worker in workers) and not interruption.asked and failed is None:
                time.sleep(LOOK_SECONDS)
                failed = next((worker.exitcode for worker in workers if worker.exitcode), None)
        finally:  # ended ones do not mind, and those that never began are left out
            begun = [worker for worker in workers if worker.pid is not None]
            for worker in begun:
                worker.terminate()
            for worker in begun:
                worker.join()
        if interruption.asked:
            raise Stopped(asked_at=interruption.at)
    if not failures.empty():
        raise failures.get()
    if failed is not None and failed < 0:
        raise CatsdogsError(f"A process of the search was ended by {signal.Signals(-failed).name}, as where memory is "
                            "short: run again with fewer --processes; finished trials are kept.")
    if failed is not None:
        raise CatsdogsError("A process of the search failed; what it said stands above. Run again to go on.")


def _share(parent: int, beginning: Any, failures: Any, settings: TuneSettings, *rest: Any) -> None:
    """In a process of its own. What is wrong is told to the parent, which says it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal: the parent decides
    end_with_parent(parent)
    take_share(settings.processes)
    try:
        _work(settings, *rest, beginning=beginning)
    except Stopped:  # the parent knows why
        raise SystemExit(Stopped.exit_status) from None
    except TOLD as error:
        failures.put(error)
        raise SystemExit(1) from None


def _work(
    settings: TuneSettings, storage: str, name: str, parent: str | None, deadline: float, seed: int, *,
    beginning: AbstractContextManager[Any] | None = None,
) -> None:
    """Trials until there are enough in all, or the time is over. Where several work, one at a time is `beginning`."""
    import optuna

    states = optuna.trial.TrialState
    counted = (states.COMPLETE, states.PRUNED, states.RUNNING)
    study, run = open_study(storage, name, seed), objective(settings, parent, deadline)
    while time.time() < deadline:
        with beginning or nullcontext():
            if len(study.get_trials(deepcopy=False, states=counted)) >= settings.trials:
                return
            trial = study.ask()
        state, value = states.FAIL, None
        try:
            value = run(trial)
            state = states.COMPLETE
        except optuna.TrialPruned:
            state = states.PRUNED
        except OutOfTime:
            return
        finally:
            ended = study.tell(trial, value, state=state)
        event("trial", number=ended.number, state=ended.state.name.lower(), val_accuracy=ended.value, **ended.params)
