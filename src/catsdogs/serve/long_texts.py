"""JSON that is parsed in a moment, however large: long strings are taken out of it first, and what remains is counted.

The parser holds the lock of Python from beginning to end, and no other thread runs meanwhile: for 64 MB of base64 0.1
to 0.2 s (20 MB: 0.02 s), for 1.2 million numbers 0.1 s, for as many in nested lists 0.6 s.
"""

import gc
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from catsdogs.serve.errors import Refused

MOST_VALUES = 400_000
"""Of what remains, a list or an object counted as LISTED: one photo of 224 px nested, two flat, which take 20 ms. The
worst that there may be, numbers of 18 digits, fractions, or objects with a key of their own each, takes 30 to 60 ms.
Memory too: a value takes up to twenty times what it takes in the body."""
LISTED = 4
MOST_BYTES = 8 * 2**20  # of what remains: 2 ns each
LONG = 64 * 1024  # characters
LONG_NUMBER = 18  # digits: up to here one takes as long as a short one
MOST_LONG_NUMBERS = 100  # of 4,000 digits 0.1 ms each
AT_ONCE = 2**20  # bytes to look through while other threads wait
TOKEN = "@" * 300  # longer than any string that a model of a request takes, and no base64

Texts = dict[str, memoryview]
"""What was taken out, by what stands in its place."""
M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], body: bytes) -> M:
    """`body` as `model`, whose validators find Texts as their context. Raises Refused (413) before anything is parsed,
    and pydantic's ValidationError."""
    if len(body) <= LONG:
        return model.model_validate_json(body)
    remains, texts = _apart(body)
    _check(remains)
    # Looking for garbage among half-made lists takes up to three quarters of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return model.model_validate_json(remains, context=texts)
    finally:
        if collects:
            gc.enable()


def _apart(body: bytes) -> tuple[bytes, Texts]:
    """What remains and what was taken out. Nothing is where a quote is escaped, which no photo needs."""
    quotes = _quotes(body)
    if len(quotes) % 2 or _escaped(body):
        return body, {}
    texts: Texts = {}
    pieces, place = [], 0
    begins, ends = quotes[::2] + 1, quotes[1::2]
    for begin, end in zip(*(side[ends - begins > LONG].tolist() for side in (begins, ends)), strict=True):
        token = f"{TOKEN}{len(texts)}"
        texts[token] = memoryview(body)[begin:end]
        pieces += [body[place:begin], token.encode()]
        place = end
    return b"".join([*pieces, body[place:]]), texts


def _windows(body: bytes) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    values = np.frombuffer(body, np.uint8)
    return ((start, values[start:start + AT_ONCE]) for start in range(0, len(values), AT_ONCE))


def _quotes(body: bytes) -> npt.NDArray[np.int64]:
    found, count = [np.empty(0, np.int64)], 0
    for start, window in _windows(body):
        found.append(np.flatnonzero(window == ord('"')) + start)
        count += len(found[-1])
        if count > 2 * MOST_VALUES:
            raise _too_many()
    return np.concatenate(found)


def _escaped(body: bytes) -> bool:
    return any(body.find(b'\\"', start, start + AT_ONCE + 1) >= 0 for start in range(0, len(body), AT_ONCE))


def _check(remains: bytes) -> None:
    """A comma stands between two values, and between two pairs of an object."""
    if len(remains) > MOST_BYTES:
        raise _too_many()
    count = long_numbers = 0
    for _, window in _windows(remains):
        count += int(np.count_nonzero((window == ord(",")) | (window == ord("\\"))))
        count += LISTED * int(np.count_nonzero((window == ord("[")) | (window == ord("{"))))
        others = np.flatnonzero((window < ord("0")) | (window > ord("9")))
        long_numbers += int(np.count_nonzero(np.diff(others, prepend=-1, append=len(window)) > LONG_NUMBER + 1))
    if count > MOST_VALUES or long_numbers > MOST_LONG_NUMBERS:
        raise _too_many()


def _too_many() -> Refused:
    return Refused(413, "too-many-values", f"The body holds more than about {MOST_VALUES:,} values, a list counted as "
                   f"{LISTED}: send encoded photos, in base64 or as a form.")
