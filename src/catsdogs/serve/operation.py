"""Routes for whoever runs the service."""

from enum import Enum

from fastapi import FastAPI, Response
from starlette.concurrency import run_in_threadpool

from catsdogs import __version__
from catsdogs.serve.errors import Refused
from catsdogs.serve.schemas import ErrorAnswer, HealthAnswer, ModelAnswer, ReadyAnswer
from catsdogs.serve.service import Service

TAGS: list[str | Enum] = ["operation"]


def operation_routes(app: FastAPI, service: Service) -> None:
    current = service.current

    @app.get("/health", tags=TAGS)
    async def health() -> HealthAnswer:
        """What is true of this process."""
        return HealthAnswer(status="healthy", model_loaded=current.predictor is not None, version=current.version,
                            service_version=__version__)

    @app.get("/livez", tags=TAGS, responses={503: {"model": ErrorAnswer}})
    async def livez() -> dict[str, str]:
        """200 while the process is alive; 503 where it should be started anew."""
        if service.alone and service.stuck():  # of several, such a process ends by itself
            raise Refused(503, "stuck", "A photo has held up a thread for minutes: start this process anew.")
        return {"status": "alive"}

    @app.get("/readyz", tags=TAGS, responses={503: {"model": ReadyAnswer}})
    async def readyz(response: Response) -> ReadyAnswer:
        """200 once the model has answered its golden photos correctly, 503 with the reason otherwise."""
        ready = current.predictor is not None
        response.status_code = 200 if ready else 503
        return ReadyAnswer(ready=ready, reason=current.loaded.reason, refused=service.board.refused())

    @app.get("/model", tags=TAGS, responses={status: {"model": ErrorAnswer} for status in (401, 403, 404, 429)})
    async def model() -> ModelAnswer:
        """The model card: classes, preparation, metrics, lineage, and when it is unsure."""
        card = current.answer()
        if card is None:
            raise Refused(404, "no-model", "No model is loaded.")
        return card.model_copy(update={"refused": service.board.refused()})

    @app.get("/metrics", tags=TAGS, responses={status: {"model": ErrorAnswer} for status in (401, 403, 429)})
    async def prometheus() -> Response:
        """Metrics for Prometheus."""
        text = await run_in_threadpool(service.metrics.text)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
