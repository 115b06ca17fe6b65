"""Stage 6: `catsdogs serve`."""

from dataclasses import dataclass
from typing import Any

import uvicorn

from catsdogs.log import event
from catsdogs.serve.app import create_app
from catsdogs.settings import ServeSettings


@dataclass(frozen=True)
class Served:
    address: str

    def text(self) -> str:
        return f"stopped serving on {self.address}"

    def data(self) -> dict[str, Any]:
        return {"address": self.address}


def serve(settings: ServeSettings) -> Served:
    """Serve until SIGTERM or Ctrl-C; answers what is under way before it stops."""
    app = create_app(settings)
    address = f"http://{settings.host}:{settings.port}"
    event("serving", address=address, model=settings.model_path if settings.enable_real_model else "stub")
    uvicorn.run(
        app, host=settings.host, port=settings.port, loop="uvloop", http="httptools", ws="none", access_log=False,
        server_header=False, log_level="warning", timeout_graceful_shutdown=20,
    )
    return Served(address)
