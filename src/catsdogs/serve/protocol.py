"""The Open Inference Protocol, version 2 (KServe, Triton and others speak it), for clients that know no other."""

from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from catsdogs import __version__
from catsdogs.artifacts import ModelCard
from catsdogs.predictor import Prediction
from catsdogs.serve.errors import Refused
from catsdogs.serve.openapi import INFER_BODY, refusals
from catsdogs.serve.schemas import Answer
from catsdogs.serve.service import Service
from catsdogs.serve.tensors import PHOTOS, PIXELS, Tensor, photos_of, pixels_of

NAME = "catsdogs"
"""What the service calls its model on these routes, whichever answers."""

OUTPUTS = ("label", "confidence", "probabilities", "unsure")
TAGS: list[str | Enum] = ["open inference protocol"]


class Wanted(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(max_length=64)]


class InferRequest(BaseModel):
    """One input: `pixels` UINT8 [n, size, size, 3], prepared like /model says, or `photos` BYTES [n] in base64."""

    model_config = ConfigDict(extra="ignore")

    id: Annotated[str, Field(max_length=256)] | None = None
    inputs: Annotated[list[Tensor], Field(min_length=1, max_length=1)]
    outputs: Annotated[list[Wanted], Field(max_length=16)] | None = None


class ServerAnswer(Answer):
    name: str
    version: str
    extensions: list[str]


class LiveAnswer(Answer):
    live: bool


class V2ReadyAnswer(Answer):
    ready: bool


class TensorAbout(Answer):
    name: str
    datatype: str
    shape: list[int]


class ModelAbout(Answer):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorAbout]
    outputs: list[TensorAbout]


class TensorAnswer(TensorAbout):
    data: list[str] | list[bool] | list[float]


class InferAnswer(Answer):
    model_name: str
    model_version: str
    id: str | None
    outputs: list[TensorAnswer]


def protocol_routes(app: FastAPI, service: Service) -> None:
    @app.get("/v2", tags=TAGS)
    async def server() -> ServerAnswer:
        """The server."""
        return ServerAnswer(name="catsdogs", version=__version__, extensions=[])

    @app.get("/v2/health/live", tags=TAGS)
    async def live() -> LiveAnswer:
        """200 while the process is alive."""
        return LiveAnswer(live=True)

    @app.get("/v2/health/ready", tags=TAGS, responses={503: {"model": V2ReadyAnswer}})
    async def ready(response: Response) -> V2ReadyAnswer:
        """200 once the model has answered its golden photos correctly."""
        return _readiness(service, response)

    @app.get("/v2/models/{name}", tags=TAGS, responses=refusals(404))
    async def about(name: str) -> ModelAbout:
        """The model's inputs and outputs."""
        card = _card(service, name)
        size, classes = card.image_size, len(card.classes)
        return ModelAbout(
            name=NAME, versions=[card.version], platform="onnx",
            inputs=[TensorAbout(name=PIXELS, datatype="UINT8", shape=[-1, size, size, 3]),
                    TensorAbout(name=PHOTOS, datatype="BYTES", shape=[-1])],
            outputs=[TensorAbout(name="label", datatype="BYTES", shape=[-1]),
                     TensorAbout(name="confidence", datatype="FP32", shape=[-1]),
                     TensorAbout(name="probabilities", datatype="FP32", shape=[-1, classes]),
                     TensorAbout(name="unsure", datatype="BOOL", shape=[-1])],
        )

    @app.get("/v2/models/{name}/ready", tags=TAGS, responses={**refusals(404), 503: {"model": V2ReadyAnswer}})
    async def model_ready(name: str, response: Response) -> V2ReadyAnswer:
        """Whether this model answers."""
        if name != NAME:
            raise _unknown(name)
        return _readiness(service, response)

    @app.post("/v2/models/{name}/infer", tags=TAGS, responses=refusals(404), openapi_extra=INFER_BODY,
              response_model_exclude_none=True)  # an id only where one was sent
    async def infer(name: str, request: Request) -> InferAnswer:
        """Classify pixel tensors or encoded photos; one that is bad refuses the whole request."""
        size, settings = _card(service, name).image_size, service.settings
        asked = await service.json.read(request, InferRequest, lambda body: _asked(
            body, size, settings.max_batch, settings.max_upload_bytes), invalid=400)
        request.state.charge(len(asked.photos) - 1)
        answers = await (service.several(service.classify, asked.photos) if asked.prepared
                         else service.several(service.predict, asked.photos))
        predictions = [_or_raise(answer) for answer in answers]
        request.state.model_version = predictions[0].version
        return InferAnswer(model_name=NAME, model_version=predictions[0].version or "", id=asked.id,
                           outputs=_outputs(predictions, asked.outputs))


class _Asked(NamedTuple):
    photos: list[Any]  # Pixels, one each, where they are prepared; encoded otherwise
    prepared: bool
    outputs: list[str]
    id: str | None


def _asked(body: InferRequest, size: int, most: int, most_bytes: int) -> _Asked:
    """Raises Refused."""
    (tensor,), outputs = body.inputs, _wanted(body.outputs)
    if tensor.name == PIXELS:
        pixels = pixels_of(tensor, size, most)
        return _Asked([pixels[i:i + 1] for i in range(len(pixels))], True, outputs, body.id)
    if tensor.name == PHOTOS:
        return _Asked(photos_of(tensor, most, most_bytes), False, outputs, body.id)
    raise Refused(400, "bad-tensor", f"There is no input {tensor.name!r}: send `{PIXELS}` or `{PHOTOS}`.")


def _readiness(service: Service, response: Response) -> V2ReadyAnswer:
    ready = service.current.predictor is not None
    response.status_code = 200 if ready else 503
    return V2ReadyAnswer(ready=ready)


def _card(service: Service, name: str) -> ModelCard:
    if name != NAME:
        raise _unknown(name)
    return service.predictor().card


def _unknown(name: str) -> Refused:
    return Refused(404, "unknown-model", f"There is no model {name[:64]!r}: it is called {NAME!r}.")


def _or_raise(answer: Prediction | Refused) -> Prediction:
    if isinstance(answer, Refused):
        raise answer
    return answer


def _wanted(outputs: list[Wanted] | None) -> list[str]:
    """Raises Refused for one that there is not, before anything is answered."""
    names = [output.name for output in outputs] if outputs else list(OUTPUTS)
    if unknown := [name for name in names if name not in OUTPUTS]:
        raise Refused(400, "bad-tensor", f"There is no output {unknown[0]!r}: there are {', '.join(OUTPUTS)}.")
    return names


def _outputs(predictions: list[Prediction], names: list[str]) -> list[TensorAnswer]:
    count = len(predictions)
    rows = [list(prediction.probabilities.values()) for prediction in predictions]
    tensors: dict[str, tuple[Literal["BYTES", "FP32", "BOOL"], list[int], Any]] = {
        "label": ("BYTES", [count], [prediction.label for prediction in predictions]),
        "confidence": ("FP32", [count], [prediction.confidence for prediction in predictions]),
        "probabilities": ("FP32", [count, len(rows[0])], [value for row in rows for value in row]),
        "unsure": ("BOOL", [count], [prediction.doubt is not None for prediction in predictions]),
    }
    return [TensorAnswer(name=name, datatype=tensors[name][0], shape=tensors[name][1], data=tensors[name][2])
            for name in names]
