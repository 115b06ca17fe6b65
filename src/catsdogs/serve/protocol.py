"""The Open Inference Protocol, version 2 (KServe, Triton and others speak it), for clients that know no other."""

from collections.abc import Sequence
from enum import Enum
from itertools import chain
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from catsdogs import __version__
from catsdogs.artifacts import ModelCard
from catsdogs.images import Pixels
from catsdogs.predictor import Prediction
from catsdogs.serve.errors import Refused
from catsdogs.serve.json_body import FEW, parsed, photo_bytes
from catsdogs.serve.openapi import INFER_BODY, refusals
from catsdogs.serve.schemas import Answer
from catsdogs.serve.service import Service

NAME = "catsdogs"
"""What the service calls its model on these routes, whichever answers."""

PIXELS, PHOTOS = "pixels", "photos"
OUTPUTS = ("label", "confidence", "probabilities", "unsure")
TAGS: list[str | Enum] = ["open inference protocol"]


class Tensor(BaseModel):
    """A tensor as JSON: its data flat, or nested as its shape says."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(max_length=64)]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=2**31)]], Field(max_length=8)]
    datatype: Annotated[str, Field(max_length=16)]
    data: list[Any]


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
        most = service.settings.max_batch
        asked = await parsed(request, InferRequest, invalid=400,
                             most=FEW + most * _card(service, name).image_size**2 * 3)
        (tensor,), wanted = asked.inputs, _wanted(asked.outputs)
        if tensor.name == PIXELS:
            pixels = await run_in_threadpool(_pixels, tensor, _card(service, name).image_size, most)
            request.state.charge(len(pixels) - 1)
            answers = await service.several(service.classify, [pixels[i:i + 1] for i in range(len(pixels))])
        elif tensor.name == PHOTOS:
            photos = _photos(tensor, most, service.settings.max_upload_bytes)
            request.state.charge(len(photos) - 1)
            answers = await service.several(service.predict, photos)
        else:
            raise Refused(400, "bad-tensor", f"There is no input {tensor.name!r}: send `{PIXELS}` or `{PHOTOS}`.")
        predictions = [_or_raise(answer) for answer in answers]
        request.state.model_version = predictions[0].version
        return InferAnswer(model_name=NAME, model_version=predictions[0].version or "", id=asked.id,
                           outputs=_outputs(predictions, wanted))


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


def _check(tensor: Tensor, datatype: str, shape: list[int], most: int) -> None:
    """Raises Refused unless the tensor holds 1 to `most` things of this type; `shape` is that of one."""
    wanted = f"{datatype} [n{''.join(f', {side}' for side in shape)}]"
    if tensor.datatype != datatype or len(tensor.shape) != 1 + len(shape) or tensor.shape[1:] != shape:
        raise Refused(400, "bad-tensor", f"The input {tensor.name} is {wanted}, not {tensor.datatype} {tensor.shape}.")
    if not tensor.shape[0]:
        raise Refused(400, "bad-tensor", f"The input {tensor.name} is empty.")
    if tensor.shape[0] > most:
        raise Refused(413, "too-many-photos", f"At most {most} photos are taken at once.")


def _pixels(tensor: Tensor, size: int, most: int) -> Pixels:
    """Photo by photo: a whole batch of numbers in one call would hold up the other threads for as long."""
    shape = [size, size, 3]
    _check(tensor, "UINT8", shape, most)
    count, data, each = tensor.shape[0], tensor.data, size * size * 3
    if len(data) == count:
        photos = [_flat(tensor, photo, shape) for photo in data]
    elif len(data) == count * each:
        photos = [data[start:start + each] for start in range(0, len(data), each)]
    else:
        raise _no_integers(tensor)
    return np.concatenate([_photo(tensor, photo) for photo in photos]).reshape(tensor.shape)


def _flat(tensor: Tensor, values: Any, shape: list[int]) -> Sequence[Any]:
    """What is nested as the shape says. Raises Refused for what is nested otherwise."""
    level: list[Any] = [values]
    for length in shape:
        if not all(isinstance(part, list) and len(part) == length for part in level):
            raise _no_integers(tensor)
        level = list(chain.from_iterable(level))
    return level


def _photo(tensor: Tensor, values: Sequence[Any]) -> Pixels:
    """Types first: of one long text among numbers numpy would make as long a text of each."""
    if set(map(type, values)) != {int}:
        raise _no_integers(tensor)
    if min(values) < 0 or max(values) > 255:
        raise Refused(400, "bad-tensor", f"The data of {PIXELS} are not all of 0 to 255.")
    return np.frombuffer(bytes(values), np.uint8)


def _no_integers(tensor: Tensor) -> Refused:
    return Refused(400, "bad-tensor", f"The data of {PIXELS} are not {tensor.shape} integers.")


def _photos(tensor: Tensor, most: int, most_bytes: int) -> list[bytes]:
    _check(tensor, "BYTES", [], most)
    if len(tensor.data) != tensor.shape[0] or not all(isinstance(text, str) for text in tensor.data):
        raise Refused(400, "bad-tensor", f"The data of {PHOTOS} are not {tensor.shape[0]} texts in base64.")
    return [photo_bytes(text, most_bytes) for text in tensor.data]


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
