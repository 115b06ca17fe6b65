"""Bodies of JSON are read one at a time, and only what was wanted of them is kept."""

import asyncio
import functools
import gc
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.requests import Request

from catsdogs.serve.errors import Refused
from catsdogs.serve.json_body import LARGE, Reader
from catsdogs.serve.service import Service
from catsdogs.serve.start import start
from catsdogs.settings.serving import ServeSettings
from tests.photos import jpeg


def run(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def ran(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))
    return ran


class Numbers(BaseModel):
    values: list[int]


BODY = b'{"values": [' + b"0," * LARGE + b"7]}"


def request(body: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


@run
async def test_large_bodies_are_read_one_after_another_and_nothing_else_of_them_is_kept() -> None:
    reader, at_once, most, seen = Reader(60), 0, 0, list[weakref.ref[Numbers]]()

    def alive() -> int:
        gc.collect()
        return sum(one() is not None for one in seen)

    def last(numbers: Numbers) -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        seen.append(weakref.ref(numbers))
        assert threading.current_thread() is not threading.main_thread() and alive() == 1
        time.sleep(0.01)
        at_once -= 1
        return numbers.values[-1]

    found = await asyncio.gather(*(reader.read(request(BODY), Numbers, last, invalid=422) for _ in range(8)))
    assert found == 8 * [7] and most == 1 and alive() == 0


@run
async def test_one_that_waits_too_long_for_those_before_it_is_refused_and_holds_up_nobody() -> None:
    reader, goes_on = Reader(0.05), threading.Event()

    def waits(numbers: Numbers) -> int:
        goes_on.wait(60)
        return 0

    first = asyncio.create_task(reader.read(request(BODY), Numbers, waits, invalid=422))
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        await reader.read(request(BODY), Numbers, waits, invalid=422)
    assert refused.value.status == 504
    assert await reader.read(request(b'{"values": [1]}'), Numbers, lambda numbers: 1, invalid=422) == 1
    goes_on.set()
    assert await first == 0
    assert await reader.read(request(BODY), Numbers, lambda numbers: 2, invalid=422) == 2


@run
async def test_of_a_client_that_goes_away_the_thread_still_comes_first() -> None:
    """Sixty that closed once their turn had come had sixty threads at work."""
    reader, goes_on, began = Reader(60), threading.Event(), threading.Event()

    def waits(numbers: Numbers) -> int:
        began.set()
        goes_on.wait(60)
        return 0

    gone = asyncio.create_task(reader.read(request(BODY), Numbers, waits, invalid=422))
    await asyncio.to_thread(began.wait, 60)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    order = list[str]()

    def last(numbers: Numbers) -> None:
        order.append("next")

    following = asyncio.create_task(reader.read(request(BODY), Numbers, last, invalid=422))
    await asyncio.sleep(0.2)
    order.append("the thread ends")
    goes_on.set()
    await following
    assert order == ["the thread ends", "next"]


@run
async def test_what_was_refused_holds_nothing_and_lets_the_next_one_in() -> None:
    """Garbage is seldom collected: sixty refused bodies of 0.5 MB held 310 MB."""
    reader, seen = Reader(60), list[weakref.ref[Numbers]]()

    def refuses(numbers: Numbers) -> int:
        seen.append(weakref.ref(numbers))
        raise Refused(400, "bad-tensor", "No pixels.")

    gc.disable()
    try:
        for _ in range(2):
            with pytest.raises(Refused, match="No pixels"):
                await reader.read(request(BODY), Numbers, refuses, invalid=422)
            with pytest.raises(Refused, match="values"):
                await reader.read(request(b'{"values": "' + LARGE * b"a" + b'"}'), Numbers, refuses, invalid=422)
        assert len(seen) == 2 and not any(one() for one in seen)
    finally:
        gc.enable()


@pytest.mark.parametrize("first", [b"", b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n'])
@run
async def test_a_form_is_held_once_while_its_photo_is_answered(
    model_path: Path, monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    """Also one with a field beside the file, which goes the framework's way."""
    app = start(ServeSettings(enable_real_model=True, model_path=model_path))
    held, large = list[int](), jpeg(1) + bytes(8 * 2**20)
    predict = Service.predict

    async def measured(service: Service, data: bytes) -> Any:
        held.append(tracemalloc.get_traced_memory()[0])
        return await predict(service, data)

    monkeypatch.setattr(Service, "predict", measured)
    body = (first + b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n' + large
            + b"\r\n--b--\r\n")
    size, said = len(body), list[Any]()
    pieces = [body[start:start + 2**16] for start in range(0, size, 2**16)]
    del body, large

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        said.append(message)

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    await app({"type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict", "query_string": b"",
               "root_path": "", "scheme": "http", "http_version": "1.1", "client": ("127.0.0.1", 1), "server": None,
               "headers": [(b"content-type", b"multipart/form-data; boundary=b"),
                           (b"content-length", str(size).encode())]}, receive, send)
    tracemalloc.stop()
    assert said[0]["status"] == 200, said
    assert held[0] - before < 1.2 * size
