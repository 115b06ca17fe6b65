"""Requests as JSON: parsed in a moment (long_texts.py), photos in base64, decoded off the event loop piece by piece."""

import asyncio
import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from catsdogs.serve.errors import Refused
from catsdogs.serve.job import alone
from catsdogs.serve.long_texts import LONG, validated

LARGE = LONG  # parsing this many bytes takes 0.1 ms; a thread costs as much
MOST_OF_A_HEAD = 1024  # characters before the comma of a data: URL
IN_ONE_GO = 2**20  # characters of base64, a multiple of 4; decoding them takes 3 ms

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


def in_full(value: Any, info: ValidationInfo) -> Any:
    """A string that stands for a long one, as that; whatever else, as it is."""
    return info.context.get(value, value) if info.context and type(value) is str else value


Text = Annotated[str, AfterValidator(in_full)]
"""A memoryview of its letters where it is long."""


class PhotoBody(BaseModel):
    """A photo as JSON."""

    model_config = ConfigDict(extra="ignore")

    image: Text = Field(description="The photo's bytes in base64; a data: URL is taken too.", examples=["/9j/4AAQ..."])


class Reader:
    """Reads bodies, a large one at a time and from beginning to end.

    Of sixty that came together, of 70 kB each, the values of 59 waited in memory, 2.5 MB each, to be made pixels of;
    and while many threads parse, the event loop waits for the lock of Python: half a second with twenty of 0.5 MB.
    """

    def __init__(self, seconds: float) -> None:
        """`seconds`: how long one may wait for those before it."""
        self._seconds, self._one = seconds, asyncio.Lock()

    async def read(self, request: Request, model: type[M], take: Callable[[M], T], *, invalid: int) -> T:
        """What `take` makes of the body as `model`: no more than that is kept. Raises Refused: 400 for what is no JSON,
        413 for one of too many values, `invalid` for JSON of another form, 504 where too many wait; and what `take`
        does."""
        pieces = [piece async for piece in request.stream()]

        def taken() -> T | Exception:  # a Refused: raised from here it would hold the values
            body = b"".join(pieces)
            pieces.clear()
            try:
                return take(validated(model, body))
            except ValidationError as error:
                return alone(_as_refused(error, invalid))
            except Refused as refused:
                return alone(refused)

        if sum(map(len, pieces)) <= LARGE:
            found = taken()
        else:
            await self._turn()
            working = asyncio.ensure_future(run_in_threadpool(taken))
            working.add_done_callback(self._over)
            found = await asyncio.shield(working)  # a client that goes away ends the waiting, not the thread
        if isinstance(found, Exception):
            raise found
        return found

    def _over(self, working: "asyncio.Future[Any]") -> None:
        self._one.release()
        if not working.cancelled():
            working.exception()  # nobody may wait for it any more

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._one.acquire()
        except TimeoutError:
            raise Refused(504, "deadline", f"No answer within {self._seconds:g} s.") from None


def _as_refused(error: ValidationError, invalid: int) -> Refused:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Refused(400, "bad-json", f"The body is no JSON: {first['msg'].removeprefix('Invalid JSON: ')}.")
    where = ".".join(str(part)[:40] for part in first["loc"]) or "the body"
    return Refused(invalid, "bad-json", f"{where}: {first['msg']}.")


def photo_bytes(text: str | memoryview, most: int) -> bytes:
    """Base64 (or a data: URL of it) -> the photo's bytes. Raises Refused, for too many before they are decoded.

    A piece at a time, here and in `_letters`: other threads wait for one, 64 MB in one go held them up for a fifth of a
    second.
    """
    text = _letters(text)
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


def _letters(text: str | memoryview) -> str | memoryview:
    """Without the beginning of a data: URL, and slashes as they are where JSON has them escaped, as PHP writes it."""
    if isinstance(text, str):
        return text.partition(",")[2] if text.startswith("data:") else text
    if bytes(text[:5]) == b"data:":
        text = text[bytes(text[:MOST_OF_A_HEAD]).find(b",") + 1:]
    if not any(b"\\" in bytes(text[start:start + IN_ONE_GO]) for start in range(0, len(text), IN_ONE_GO)):
        return text
    pieces, start = [], 0
    while start < len(text):  # escapes are not cut in two
        end = start + IN_ONE_GO + (bytes(text[start + IN_ONE_GO - 1:start + IN_ONE_GO]) == b"\\")
        pieces.append(bytes(text[start:end]).replace(b"\\/", b"/"))
        start = end
    return memoryview(b"".join(pieces))


def _no_base64() -> Refused:
    return Refused(400, "bad-base64", "The photo is not in base64.")
