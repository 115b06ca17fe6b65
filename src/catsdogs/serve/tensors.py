"""The input tensors of the Open Inference Protocol as JSON, read with mistrust."""

from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from catsdogs.images import Pixels
from catsdogs.serve.errors import Refused
from catsdogs.serve.json_body import in_full, photo_bytes

PIXELS, PHOTOS = "pixels", "photos"


def _all_in_full(values: list[Any], info: ValidationInfo) -> list[Any]:
    return [in_full(value, info) for value in values] if info.context else values


class Tensor(BaseModel):
    """A tensor as JSON: its data flat, or nested as its shape says."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(max_length=64)]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=2**31)]], Field(max_length=8)]
    datatype: Annotated[str, Field(max_length=16)]
    data: Annotated[list[Any], AfterValidator(_all_in_full)]


def pixels_of(tensor: Tensor, size: int, most: int) -> Pixels:
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


def photos_of(tensor: Tensor, most: int, most_bytes: int) -> list[bytes]:
    _check(tensor, "BYTES", [], most)
    if len(tensor.data) != tensor.shape[0] or not all(isinstance(text, str | memoryview) for text in tensor.data):
        raise Refused(400, "bad-tensor", f"The data of {PHOTOS} are not {tensor.shape[0]} texts in base64.")
    return [photo_bytes(text, most_bytes) for text in tensor.data]


def _check(tensor: Tensor, datatype: str, shape: list[int], most: int) -> None:
    """Raises Refused unless the tensor holds 1 to `most` things of this type; `shape` is that of one."""
    wanted = f"{datatype} [n{''.join(f', {side}' for side in shape)}]"
    if tensor.datatype != datatype or len(tensor.shape) != 1 + len(shape) or tensor.shape[1:] != shape:
        raise Refused(400, "bad-tensor", f"The input {tensor.name} is {wanted}, not {tensor.datatype} {tensor.shape}.")
    if not tensor.shape[0]:
        raise Refused(400, "bad-tensor", f"The input {tensor.name} is empty.")
    if tensor.shape[0] > most:
        raise Refused(413, "too-many-photos", f"At most {most} photos are taken at once.")
