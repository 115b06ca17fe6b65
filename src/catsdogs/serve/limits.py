"""Refuses bodies that are too large or too slow, before they are read and parsed."""

import asyncio
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from catsdogs.serve.errors import Refused

MULTIPART_OVERHEAD = 16 * 1024  # boundaries and headers around the photo
SMALL = 1024 * 1024  # bytes: who holds back large uploads must not keep ordinary ones out
MAX_DIGITS = 18  # int() itself refuses a text of more than 4,300 digits


class BodyLimit:
    """Counts what a client sends, whatever its Content-Length says. Inside the middleware that answers Refused.

    `in_all`: bytes that all requests under way may hold together, and twice as many with SMALL ones; a single request
    may always be as large as its limit.
    """

    def __init__(
        self, app: ASGIApp, default: int, of_path: Mapping[str, int], seconds: float, in_all: int
    ) -> None:
        self.app, self.default, self.of_path, self.seconds, self.in_all = app, default, of_path, seconds, in_all
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        allowed = self.of_path.get(scope["path"], self.default)
        limit = allowed + MULTIPART_OVERHEAD
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"0")
        if b"upgrade" in headers and (announced != b"0" or b"transfer-encoding" in headers):
            # Only under uvicorn's own command, which would drop the body, or read requests in it.
            raise Refused(400, "bad-http", "No body can come with a question for another protocol: leave Upgrade out.",
                          {"Connection": "close"})
        if announced.isdigit() and (len(announced) > MAX_DIGITS or int(announced) > limit):
            raise _too_large(allowed)
        received, ended = 0, False
        deadline = asyncio.get_running_loop().time() + self.seconds

        async def counted() -> Message:
            nonlocal received, ended
            if ended:
                return await receive()  # what waits for the client to leave has no deadline
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise Refused(408, "slow-body", f"The body did not arrive within {self.seconds:g} s.",
                              {"Connection": "close"}) from None
            ended = not message.get("more_body", False)
            count = len(message.get("body", b""))
            received += count
            self.held += count
            if received > limit:
                raise _too_large(allowed)
            if received < self.held > self.in_all * (1 if received > SMALL else 2):
                raise Refused(503, "uploads-full", "Too many uploads are under way: try again in a moment.",
                              {"Retry-After": "1", "Connection": "close"})
            return message

        try:
            await self.app(scope, counted, send)
        finally:
            self.held -= received


def _too_large(allowed: int) -> Refused:
    # The rest of the body is not read: the connection cannot be used for another request.
    return Refused(413, "too-many-bytes", f"The upload is larger than {allowed:,} bytes.", {"Connection": "close"})
