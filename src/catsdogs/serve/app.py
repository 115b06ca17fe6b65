"""The HTTP service, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from catsdogs import __version__
from catsdogs.serve.access import Access, refusal
from catsdogs.serve.limits import BodyLimit
from catsdogs.serve.operation import operation_routes
from catsdogs.serve.predict import predict_routes
from catsdogs.serve.protocol import protocol_routes
from catsdogs.serve.service import Service
from catsdogs.serve.state import Loaded
from catsdogs.settings.serving import ServeSettings


def create_app(settings: ServeSettings, loaded: Loaded) -> FastAPI:
    """The app for these settings and a model that was checked, or the stub."""
    service = Service(settings, loaded)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(title="catsdogs", version=__version__, lifespan=lifespan,
                  description="Which animal is on the photo, with calibrated probabilities.")
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, default=settings.max_upload_bytes, of_path={
        "/predict/batch": settings.max_batch_bytes, "/v2/models/catsdogs/infer": settings.max_batch_bytes})
    app.add_middleware(Access, metrics=service.metrics, model_version=lambda: service.current.version)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    for routes in (operation_routes, predict_routes, protocol_routes):
        routes(app, service)
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(request.scope, error.status_code, str(error.detail), error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return refusal(request.scope, 422, f"{where}: {first['msg']}")
