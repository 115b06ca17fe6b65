"""From settings to an app whose model is loaded and checked."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pydantic import ValidationError

from catsdogs.errors import CatsdogsError
from catsdogs.machine import give_back_large_memory
from catsdogs.serve.keys import read_keys
from catsdogs.serve.shared import Shared
from catsdogs.serve.state import load
from catsdogs.settings.base import explain_invalid
from catsdogs.settings.serving import ServeSettings

if TYPE_CHECKING:
    from fastapi import FastAPI


def start(settings: ServeSettings, shared: Shared | None = None) -> "FastAPI":
    """Load the model while FastAPI is imported: each takes a quarter of a second. Raises ModelRefused, and UsageError
    for odd keys: first, for a mistake in a flag is to be told without waiting for a model."""
    keys = read_keys(settings)
    give_back_large_memory()
    with ThreadPoolExecutor(1) as beside:
        loading = beside.submit(load, settings)
        from catsdogs.serve.app import create_app

        if shared is not None:
            from catsdogs.serve.metrics import count_together

            count_together(shared)
        return create_app(settings, loading.result(), keys, shared)


def start_from_environment() -> "FastAPI":
    """For uvicorn's command line: what cannot be served ends the process with one sentence. Raises SystemExit."""
    try:
        return start(ServeSettings())
    except ValidationError as error:
        raise SystemExit(f"catsdogs serve: {explain_invalid(error)}") from None
    except CatsdogsError as error:
        raise SystemExit(f"catsdogs serve: {error}") from None
