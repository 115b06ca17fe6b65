"""The HTTP service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from catsdogs import __version__
from catsdogs.errors import BadImage, TooManyPixels
from catsdogs.predictor import Prediction
from catsdogs.serve.access import Access
from catsdogs.serve.errors import Refused
from catsdogs.serve.inference import Inference
from catsdogs.serve.limits import BodyLimit
from catsdogs.serve.metrics import Metrics
from catsdogs.serve.schemas import ErrorAnswer, HealthAnswer, ModelAnswer, PredictAnswer, ReadyAnswer
from catsdogs.serve.state import Loaded, stub_prediction
from catsdogs.serve.uploads import uploaded
from catsdogs.settings.serving import ServeSettings

UPLOAD_SCHEMA: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": {
        "type": "object", "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary", "description": "JPEG, PNG, GIF, BMP or WebP"}},
    }}}}
}
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "No usable photo."},
    413: {"model": ErrorAnswer, "description": "Too many bytes or pixels."},
    422: {"model": ErrorAnswer, "description": "No field `file`."},
    503: {"model": ErrorAnswer, "description": "Busy; see Retry-After."},
    504: {"model": ErrorAnswer, "description": "Past the deadline."},
}


def create_app(settings: ServeSettings, loaded: Loaded) -> FastAPI:
    """The app for these settings and a model that was checked, or the stub."""
    metrics = Metrics()
    inference = Inference(loaded.predictor, settings, metrics) if loaded.predictor else None
    if (card := loaded.model_answer()) is not None:
        metrics.model.info({"version": card.version, "variant": card.variant})

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if inference is not None:
            inference.close()

    app = FastAPI(title="catsdogs", version=__version__, lifespan=lifespan,
                  description="Which animal is on the photo, with calibrated probabilities.")
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, max_upload_bytes=settings.max_upload_bytes)
    app.add_middleware(Access, metrics=metrics, model_version=lambda: loaded.version)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    _operational_routes(app, loaded, metrics)

    @app.post("/predict", responses=ERRORS, openapi_extra=UPLOAD_SCHEMA, tags=["predict"])
    async def predict(request: Request) -> PredictAnswer:
        """Classify one photo, sent as the multipart field `file`."""
        data = await uploaded(request)
        metrics.upload.observe(len(data))
        prediction = await (inference.predict(data) if inference else _stub(data, settings.max_pixels))
        metrics.predictions.labels(prediction.label).inc()
        metrics.confidence.observe(prediction.confidence)
        return PredictAnswer(
            label=prediction.label, confidence=prediction.confidence, probabilities=prediction.probabilities,
            model_loaded=inference is not None,
        )

    return app


def _operational_routes(app: FastAPI, loaded: Loaded, metrics: Metrics) -> None:
    @app.get("/health", tags=["operation"])
    async def health() -> HealthAnswer:
        """What is true of this process."""
        return HealthAnswer(status="healthy", model_loaded=loaded.predictor is not None, version=loaded.version,
                            service_version=__version__)

    @app.get("/livez", tags=["operation"])
    async def livez() -> dict[str, str]:
        """200 while the process is alive."""
        return {"status": "alive"}

    @app.get("/readyz", tags=["operation"], responses={503: {"model": ReadyAnswer}})
    async def readyz(response: Response) -> ReadyAnswer:
        """200 once the model has answered its golden photos correctly, 503 with the reason otherwise."""
        ready = loaded.predictor is not None
        response.status_code = 200 if ready else 503
        return ReadyAnswer(ready=ready, reason=loaded.reason)

    @app.get("/model", tags=["operation"], responses={404: {"model": ErrorAnswer}})
    async def model() -> ModelAnswer:
        """The model card: classes, preparation, metrics, lineage."""
        card = loaded.model_answer()
        if card is None:
            raise Refused(404, "no-model", "No model is loaded.")
        return card

    @app.get("/metrics", tags=["operation"])
    async def prometheus() -> Response:
        """Metrics for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _stub(data: bytes, max_pixels: int) -> Prediction:
    try:
        return await run_in_threadpool(stub_prediction, data, max_pixels)
    except TooManyPixels as error:
        raise Refused(413, error.reason, str(error)) from None
    except BadImage as error:
        raise Refused(400, error.reason, str(error)) from None


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": str(error.detail), "request_id": request.state.request_id}, error.status_code,
                        error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"detail": f"{where}: {first['msg']}", "request_id": request.state.request_id}, 422)
