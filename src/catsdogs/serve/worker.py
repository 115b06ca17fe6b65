"""One process of the service: forked, tells the supervisor that it answers or why it cannot, and serves."""

import json
import os
import shutil
import signal
import socket
import sys
import traceback
from types import FrameType

from catsdogs.errors import CatsdogsError
from catsdogs.machine import end_with_parent
from catsdogs.serve.balance import Balance, Connections
from catsdogs.serve.shared import Shared
from catsdogs.serve.start import start
from catsdogs.settings.serving import ServeSettings

REFUSED = 4  # the exit status of a process whose reason is in its report


def work(settings: ServeSettings, listener: socket.socket, shared: Shared, connections: Connections, report: int,
         parent: int) -> None:
    """Serve until SIGTERM. Never returns: what the parent put off until its own end is not for a child.

    Called with the signals of its parent blocked, so that none is lost or taken for the parent's.
    """
    status = 1
    try:
        status = _serve(settings, listener, shared, connections, report, parent)
        if os.getppid() != parent:  # it was killed, and cannot tidy up any more
            shutil.rmtree(shared.folder, ignore_errors=True)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # whatever happens, a SIGTERM just now included
        os._exit(status)


def _serve(settings: ServeSettings, listener: socket.socket, shared: Shared, connections: Connections, report: int,
           parent: int) -> int:
    """The exit status."""
    try:
        _leave_signals_of_the_parent()
        end_with_parent(parent)
        app = start(settings, shared)
        from catsdogs.serve.server import Server

        Server(app, ready=lambda: _tell(report, {"ready": True}),
               balance=Balance(connections, shared.number)).run(sockets=[listener])
    except CatsdogsError as error:
        _tell(report, {"refused": str(error), "status": error.exit_status})
        return REFUSED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _leave_signals_of_the_parent() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, _end)  # uvicorn raises it again when all is answered
    others = signal.SIGINT, signal.SIGHUP, signal.SIGUSR1  # the supervisor passes on what they mean
    for number in others:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, *others})


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise SystemExit(0)


def _tell(report: int, what: dict[str, object]) -> None:
    try:
        os.write(report, json.dumps(what).encode() + b"\n")
    except OSError:
        pass  # the supervisor is gone; this process ends with it
