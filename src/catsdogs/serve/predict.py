"""Routes that answer what is on photos."""

from enum import Enum
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, Query, Request, Response

from catsdogs.predictor import Prediction
from catsdogs.serve.errors import Refused
from catsdogs.serve.json_body import PhotoBody, photo_bytes
from catsdogs.serve.openapi import BATCH_BODY, EXPLAIN_ANSWERS, PHOTO_BODY, refusals
from catsdogs.serve.schemas import BatchAnswer, BatchEntry, ExplainAnswer, PredictAnswer
from catsdogs.serve.service import Service
from catsdogs.serve.uploads import content_type, uploaded, uploaded_many

TAGS: list[str | Enum] = ["predict"]


def predict_routes(app: FastAPI, service: Service) -> None:
    @app.post("/predict", tags=TAGS, responses=refusals(), openapi_extra=PHOTO_BODY)
    async def predict(request: Request) -> PredictAnswer:
        """Classify one photo: the multipart field `file`, or JSON with the photo in base64."""
        prediction = await service.predict(await _photo(request, service))
        return _answer(request, prediction)

    @app.post("/predict/batch", tags=TAGS, responses=refusals(), openapi_extra=BATCH_BODY)
    async def predict_batch(request: Request) -> BatchAnswer:
        """Classify several photos, sent as multipart fields `file` or `files`.

        One entry each, in order; a bad photo spoils only its own.
        """
        photos = await uploaded_many(request, service.settings.max_batch)
        request.state.charge(len(photos) - 1)
        most = service.settings.max_upload_bytes

        async def one_of_them(photo: bytes) -> Prediction:
            if len(photo) > most:
                raise Refused(413, "too-many-bytes", f"The photo is larger than {most:,} bytes.")
            return await service.predict(photo)

        entries = []
        for one in await service.several(one_of_them, photos):
            if isinstance(one, Refused):
                service.metrics.refused.labels(one.reason).inc()  # the request itself is not
                entries.append(BatchEntry(status=one.status, detail=one.detail))
            else:
                entries.append(BatchEntry(status=200, prediction=_answer(request, one)))
        return BatchAnswer(answers=entries)

    @app.post("/explain", tags=TAGS, response_model=ExplainAnswer, responses={**refusals(404), **EXPLAIN_ANSWERS},
              openapi_extra=PHOTO_BODY)
    async def explain(
        request: Request, accept: Annotated[str, Header()] = "",
        form: Annotated[Literal["png", "json"] | None, Query(
            alias="format", description="Overrides the Accept header.")] = None,
    ) -> Any:
        """Which places of a photo the answer is owed to: a grid of numbers, or with Accept: image/png a picture.

        Class activation from the network's last maps, exact for its pooling and linear layers: the places sum to the
        logit. It says where the network found its evidence, coarsely, not which object it recognised.
        """
        picture = form == "png" or (form is None and "image/png" in accept)
        explanation = await service.explain(await _photo(request, service), picture)
        found = _answer(request, explanation.prediction)
        if explanation.png is not None:
            return Response(explanation.png, media_type="image/png", headers={
                "X-Label": found.label.encode("ascii", "replace").decode(),
                "X-Confidence": f"{found.confidence:.6f}"})
        grid = [[round(float(value), 4) for value in row] for row in explanation.grid]
        return ExplainAnswer(prediction=found, grid=grid, strength=explanation.strength)


async def _photo(request: Request, service: Service) -> bytes:
    if content_type(request) == "application/json":
        most = service.settings.max_upload_bytes
        return await service.json.read(request, PhotoBody, lambda body: photo_bytes(body.image, most), invalid=422)
    return await uploaded(request)


def _answer(request: Request, prediction: Prediction) -> PredictAnswer:
    request.state.model_version = prediction.version
    return answer(prediction)


def answer(prediction: Prediction) -> PredictAnswer:
    return PredictAnswer(
        label=prediction.label, confidence=prediction.confidence, probabilities=prediction.probabilities,
        model_loaded=prediction.version is not None, unsure=prediction.doubt is not None,
        reason=prediction.doubt.reason if prediction.doubt else None,
    )
