"""Bytes that all requests under way may hold together."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from catsdogs.serve.errors import Refused
from catsdogs.serve.limits import SMALL, BodyLimit

LARGE = 4 * SMALL


class Held:
    """An app that reads its body and keeps it until it is told to end."""

    def __init__(self) -> None:
        self.end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await self.end.wait()


def request(limit: BodyLimit, count: int) -> Any:
    pieces = [bytes(count // 4)] * 4

    async def receive() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": pieces.pop(), "more_body": bool(pieces)}

    async def send(_: Message) -> None: ...

    return limit({"type": "http", "path": "/", "headers": []}, receive, send)


async def outcome(task: "asyncio.Task[None]") -> int:
    """A status, or 0 where it goes on."""
    done, _ = await asyncio.wait([task], timeout=0.05)
    try:
        for one in done:
            one.result()
    except Refused as refused:
        assert refused.headers["Retry-After"] == "1"
        return refused.status
    return 0


@pytest.mark.parametrize(("held", "then", "status"), [
    (0, LARGE, 0),  # one by itself may be as large as its own limit
    (LARGE // 2, LARGE, 503),
    (LARGE // 2, SMALL // 2, 0),
    (LARGE, SMALL // 2, 0),  # who holds back large ones keeps no small ones out
    (2 * LARGE, SMALL // 2, 503),  # but there is an end
])
def test_uploads_under_way_hold_so_much_and_no_more(held: int, then: int, status: int) -> None:
    async def play() -> None:
        app = Held()
        limit = BodyLimit(app, default=4 * LARGE, of_path={}, seconds=10, in_all=LARGE - SMALL)
        before = [asyncio.create_task(request(limit, held))] if held else []
        await asyncio.sleep(0.02)
        task = asyncio.create_task(request(limit, then))
        assert await outcome(task) == status
        app.end.set()
        await asyncio.gather(*before, task, return_exceptions=True)
        assert limit.held == 0

    asyncio.run(play())


def test_what_is_too_large_is_left_unread() -> None:
    pieces = [bytes(SMALL)] * 50

    async def receive() -> Message:
        return {"type": "http.request", "body": pieces.pop(), "more_body": bool(pieces)}

    async def send(_: Message) -> None: ...

    async def play() -> int:
        limit = BodyLimit(Held(), default=20 * SMALL, of_path={}, seconds=10, in_all=100 * SMALL)
        with pytest.raises(Refused) as refused:
            await limit({"type": "http", "path": "/", "headers": []}, receive, send)
        return refused.value.status

    assert asyncio.run(play()) == 413
    assert len(pieces) == 50 - 21
