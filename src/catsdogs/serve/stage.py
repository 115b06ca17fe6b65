"""Stage 6: `catsdogs serve`."""

import os
import socket
from dataclasses import dataclass
from typing import Any

from catsdogs.errors import CatsdogsError
from catsdogs.log import event
from catsdogs.serve.start import start
from catsdogs.settings.serving import ServeSettings

BACKLOG = 2048


@dataclass(frozen=True)
class Served:
    address: str

    def text(self) -> str:
        return f"stopped serving on {self.address}"

    def data(self) -> dict[str, Any]:
        return {"address": self.address}


def serve(settings: ServeSettings) -> Served:
    """Serve until SIGTERM or Ctrl-C; answers what is under way before it stops."""
    app = start(settings)
    import uvicorn

    with _listening(settings.host, settings.port) as listener:
        address = f"http://{settings.host}:{listener.getsockname()[1]}"
        event("serving", address=address, model=settings.model_path if settings.enable_real_model else "stub")
        config = uvicorn.Config(
            app, loop="uvloop", http="httptools", ws="none", access_log=False, server_header=False,
            log_level="warning", timeout_graceful_shutdown=20,
        )
        uvicorn.Server(config).run(sockets=[listener])
    return Served(address)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CatsdogsError(
            f"Cannot listen on {host} port {port} ({os.strerror(error.errno or 0)}): choose another --port, or "
            "another --host."
        ) from None
