"""Requests as JSON: parsed off the event loop where they are large, photos in base64."""

import base64
import binascii
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from catsdogs.serve.errors import Refused

LARGE = 64 * 1024  # parsing this many bytes takes 0.1 ms; a thread costs as much
FEW = 1000
"""Values of a body that is no tensor. While one is parsed it takes twenty times the memory that it takes in the body:
64 MB of zeros take 1.4 GB, more than a pod has."""
COUNTED = 2**20  # bytes at a time

M = TypeVar("M", bound=BaseModel)


class PhotoBody(BaseModel):
    """A photo as JSON."""

    model_config = ConfigDict(extra="ignore")

    image: str = Field(description="The photo's bytes in base64; a data: URL is taken too.", examples=["/9j/4AAQ..."])


async def parsed(request: Request, model: type[M], *, invalid: int, most: int = FEW) -> M:
    """The body as `model`. Raises Refused: 400 for what is no JSON, 413 for one of more than about `most` values,
    `invalid` for JSON of another form."""
    body = await request.body()
    try:
        if len(body) > LARGE:
            if await run_in_threadpool(commas, body) > most:
                raise Refused(413, "too-many-values", f"The body holds more than {most:,} values.")
            return await run_in_threadpool(model.model_validate_json, body)
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise Refused(400, "bad-json", f"The body is no JSON: {first['msg'].removeprefix('Invalid JSON: ')}."
                          ) from None
        where = ".".join(str(part)[:40] for part in first["loc"]) or "the body"
        raise Refused(invalid, "bad-json", f"{where}: {first['msg']}.") from None


def commas(body: bytes) -> int:
    """One stands between two values; base64 has none. Counted without holding up other threads."""
    values = np.frombuffer(body, np.uint8)
    return sum(int(np.count_nonzero(values[start:start + COUNTED] == ord(",")))
               for start in range(0, len(values), COUNTED))


def photo_bytes(text: str, most: int) -> bytes:
    """Base64 (or a data: URL of it) -> the photo's bytes. Raises Refused, for too many before they are decoded."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if len(text) // 4 * 3 > most + 2:
        raise Refused(413, "too-many-bytes", f"The photo is larger than {most:,} bytes.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, "bad-base64", "The photo is not in base64.") from None
