"""A training on several nodes, each of which may be taken away and come again.

torchrun joins the nodes, but ends with 1 whatever happened, and its first node cannot be replaced. So it runs once for
each attempt, in a process of its own (`job/attempt.py`): where a node is lost, all of them meet again and go on from
the checkpoint in the bucket; where the training itself fails, so does the job.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from catsdogs.errors import CatsdogsError
from catsdogs.log import event
from catsdogs.settings.job import JobSettings
from catsdogs.train.interruption import Interruption, Stopped, watched

LOOK_SECONDS = 1.0
HAND_ON_SECONDS = 0.2  # until SIGTERM reaches the training, which counts its own from there
PROBE_SECONDS = 2.0
FINAL = (1, 2)  # as every command ends where once more would say the same
TRIES = 10  # attempts in a row of which none lasted LASTING_SECONDS
LASTING_SECONDS = 60.0


class NotTogether(CatsdogsError):
    """The other nodes did not come; started again, this one may find them."""

    exit_status = 75  # EX_TEMPFAIL


def together(settings: JobSettings, flags: Mapping[str, Any], published: Callable[[], bool] | None) -> None:
    """Train with the other nodes until it is done.

    A node that is not the first stays until `published` (None: nobody can tell), because the first may be lost after
    the training, and then needs it again. Raises CatsdogsError where the training fails, NotTogether where the nodes do
    not meet in time, Stopped after SIGTERM.
    """
    first, short = settings.rank == 0, 0
    with watched() as interruption:
        while first or _met(settings, published, interruption):
            started = time.monotonic()
            status = _attempt(settings, flags, interruption)
            if status in FINAL:
                raise CatsdogsError("The training failed; the lines above say why.")
            if status == 0 and (first or published is None):
                return
            if status:
                event("node_lost", node=settings.rank, status=status)
                short = 0 if time.monotonic() - started > LASTING_SECONDS else short + 1
            if short >= TRIES:
                raise NotTogether(f"{TRIES} trainings in a row were lost within {LASTING_SECONDS:g} s: the lines above "
                                  "say why.")
            time.sleep(LOOK_SECONDS)


def words(flags: Mapping[str, Any]) -> list[str]:
    """Settings as the command line takes them."""
    found = []
    for name, value in flags.items():
        flag = name.replace("_", "-")
        found += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return found


def _met(settings: JobSettings, published: Callable[[], bool] | None, interruption: Interruption) -> bool:
    """Whether the first node is there to meet; False where nothing is left to do. Raises NotTogether, Stopped."""
    deadline = time.monotonic() + settings.meet_seconds
    host, _, port = settings.meet.rpartition(":")
    while time.monotonic() < deadline:
        if interruption.asked:
            raise Stopped()
        if published is not None and published():
            return False
        try:
            socket.create_connection((host, int(port)), PROBE_SECONDS).close()
            return True
        except OSError:  # not there, or its name is not known yet
            time.sleep(LOOK_SECONDS)
    raise NotTogether(f"The first node was not at --meet {settings.meet} within --meet-seconds "
                      f"{settings.meet_seconds:g}.")


def _attempt(settings: JobSettings, flags: Mapping[str, Any], interruption: Interruption) -> int:
    """Exit status of this node's trainer. SIGTERM is passed on to it. Raises Stopped then."""
    asked = [str(settings.nodes), str(settings.rank), settings.meet, str(int(settings.meet_seconds))]
    command = [sys.executable, "-m", "catsdogs.job.attempt", *asked, *words(flags)]
    with subprocess.Popen(command, stdout=sys.stderr) as process:  # standard output is the job's own
        told = False
        while True:
            try:
                status = process.wait(HAND_ON_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if interruption.asked and not told:
                    process.terminate()
                    told = True
    if interruption.asked:
        raise Stopped()
    return status
