"""The HTTP service, put together."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from catsdogs import __version__
from catsdogs.log import event
from catsdogs.serve.access import Access, refusal, unread
from catsdogs.serve.direct import PATH, Direct
from catsdogs.serve.headers import SecurityHeaders
from catsdogs.serve.key_check import KeyCheck
from catsdogs.serve.keys import Key
from catsdogs.serve.limits import BodyLimit
from catsdogs.serve.operation import operation_routes
from catsdogs.serve.pages import page_routes
from catsdogs.serve.predict import predict_routes
from catsdogs.serve.presence import Presence
from catsdogs.serve.protocol import protocol_routes
from catsdogs.serve.service import Service
from catsdogs.serve.shared import Shared
from catsdogs.serve.state import Loaded
from catsdogs.serve.swap import Swap
from catsdogs.settings.serving import ServeSettings


def create_app(
    settings: ServeSettings, loaded: Loaded, keys: list[Key] | None, shared: Shared | None = None
) -> FastAPI:
    """The app for these settings and a model that was checked, or the stub. `keys`: None where everybody may ask."""
    service = Service(settings, loaded, shared)
    del loaded  # once another model has taken over, nothing may hold it
    # It would write bare lines about broken forms, with bytes of theirs, among those in JSON: 400 says enough.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        choosing = asyncio.create_task(_choose(service))
        watching = [Swap(service).watch()] if service.current.predictor else []
        tasks = [asyncio.create_task(work) for work in (
            *watching, *([] if service.alone else [_leave_if_stuck(service)]))]
        yield
        try:
            await choosing
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        finally:
            service.close()

    app = FastAPI(title="catsdogs", version=__version__, lifespan=lifespan,
                  openapi_url=None if settings.hide_docs else "/openapi.json",
                  docs_url=None, redoc_url=None,  # both would come from another host: ours is in pages.py
                  description="Which animal is on the photo, with calibrated probabilities.")
    for routes in (operation_routes, predict_routes, protocol_routes):
        routes(app, service)
    page_routes(app, docs=not settings.hide_docs)
    # The last one added is the outermost.
    app.add_middleware(Direct, service=service, route=next(
        route for route in app.routes if getattr(route, "path", None) == PATH))
    app.add_middleware(Presence)
    app.add_middleware(
        BodyLimit, seconds=settings.body_seconds,
        in_all=max(settings.max_held_bytes, 2 * settings.max_batch_bytes, 2 * settings.max_upload_bytes),
        default=settings.max_upload_bytes,
        of_path=dict.fromkeys(("/predict/batch", "/v2/models/catsdogs/infer"), settings.max_batch_bytes))
    if keys is not None:
        app.add_middleware(KeyCheck, keys=keys, rate=settings.rate_per_key, shared=shared)
    app.add_middleware(Access, metrics=service.metrics, model_version=lambda: service.current.version,
                       log_client=settings.log_client_address)
    app.add_middleware(SecurityHeaders)
    app.state.unread = partial(unread, service.metrics)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


async def _choose(service: Service) -> None:
    await asyncio.to_thread(service.choose, service.current.loaded)
    service.say()


async def _leave_if_stuck(service: Service) -> None:
    """One of several processes ends in order, and another takes its place."""
    while not service.stuck():
        await asyncio.sleep(service.settings.deadline_seconds)
    event("stuck", reason="a photo has held up a thread for too long: this process ends, another takes its place")
    signal.raise_signal(signal.SIGTERM)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(request.scope, error.status_code, str(error.detail), error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return refusal(request.scope, 422, f"{where}: {first['msg']}")
