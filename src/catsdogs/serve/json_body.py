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
IN_ONE_GO = 2**20  # characters of base64, a multiple of 4; decoding them takes 3 ms

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


async def photo_of(text: str, most: int) -> bytes:
    """`photo_bytes`, off the event loop where it takes long. Raises Refused."""
    return await run_in_threadpool(photo_bytes, text, most) if len(text) > LARGE else photo_bytes(text, most)


def photo_bytes(text: str, most: int) -> bytes:
    """Base64 (or a data: URL of it) -> the photo's bytes. Raises Refused, for too many before they are decoded.

    A piece at a time: other threads wait for one, 64 MB in one go held them up for a fifth of a second.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if len(text) // 4 * 3 > most + 2:
        raise Refused(413, "too-many-bytes", f"The photo is larger than {most:,} bytes.")
    if len(text) % 4:  # which Python lets pass where there is padding too much
        raise _no_base64()
    try:
        pieces = [base64.b64decode(text[start:start + IN_ONE_GO], validate=True)
                  for start in range(0, len(text), IN_ONE_GO)]
    except (binascii.Error, ValueError):
        raise _no_base64() from None
    if any(len(piece) != IN_ONE_GO // 4 * 3 for piece in pieces[:-1]):  # padding within
        raise _no_base64()
    return b"".join(pieces)


def _no_base64() -> Refused:
    return Refused(400, "bad-base64", "The photo is not in base64.")
