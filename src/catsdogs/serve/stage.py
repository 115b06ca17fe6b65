"""Stage 6: `catsdogs serve`."""

import gc
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from catsdogs.log import event
from catsdogs.machine import cores, open_more_files
from catsdogs.openvino_alone import openvino
from catsdogs.serve.listening import reserved
from catsdogs.serve.shared import Shared
from catsdogs.serve.start import start
from catsdogs.serve.supervisor import Supervisor
from catsdogs.settings.serving import ServeSettings

YOUNG_OBJECTS = 5_000
"""Made and still there, before cycles are looked for among them: answers and refusals leave none, and after every 700,
as Python does it, the looking took 1.2 % of the processor time."""


@dataclass(frozen=True)
class Served:
    address: str

    def text(self) -> str:
        return f"stopped serving on {self.address}"

    def data(self) -> dict[str, Any]:
        return {"address": self.address}


def serve(settings: ServeSettings) -> Served:
    """Serve until SIGTERM or Ctrl-C; answers what is under way before it stops."""
    gc.set_threshold(YOUNG_OBJECTS)
    open_more_files()
    count = settings.processes or cores()
    return _one(settings) if count == 1 else _several(settings, count)


def _one(settings: ServeSettings) -> Served:
    _take_signals()
    app = start(settings)
    from catsdogs.serve.server import Server

    with reserved(settings.host, settings.port) as listener:
        address = f"http://{settings.host}:{listener.getsockname()[1]}"
        server = Server(app, alone=True, ready=lambda: event(
            "serving", address=address, processes=1,
            model=settings.model_path if settings.enable_real_model else "stub"))
        try:
            server.run(sockets=[listener])
        except SystemExit as ended:  # uvicorn raises SIGTERM again when all is answered
            if ended.code:
                raise
        except KeyboardInterrupt:
            pass  # likewise, of SIGINT: Ctrl-C is how a service on a terminal is ended
    return Served(address)


def _take_signals() -> None:
    """By themselves these would end the process, with what is under way."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a model to look at
    signal.signal(signal.SIGUSR1, lambda *_: event(
        "not replaced", reason="There is no other process to answer meanwhile: start the service anew."))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def _several(settings: ServeSettings, count: int) -> Served:
    each = settings.model_copy(update={"threads": settings.threads or max(1, cores() // count)})
    gone = _imported()
    folder = Path(tempfile.mkdtemp(prefix="catsdogs-serve-"))
    try:
        supervisor = Supervisor(each, count, folder, gone)
        supervisor.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Served(f"http://{settings.host}:{supervisor.port}")


def _imported() -> Callable[[Shared], None]:
    """Import once what every process needs, before any is forked: they share its memory, and start at once."""
    with ThreadPoolExecutor(1) as beside:
        engine = beside.submit(openvino)
        for name in ("catsdogs.serve.app", "catsdogs.serve.server", "uvicorn.lifespan.on",
                     "uvicorn.protocols.http.httptools_impl", "uvloop"):
            import_module(name)
        from catsdogs.serve.metrics import gone

        engine.result()
    gc.freeze()
    return gone
