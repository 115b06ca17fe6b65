"""Talks to a running service: waits for it, sends photos, and says in one sentence what went wrong."""

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from catsdogs.errors import CatsdogsError, UsageError

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 3.0
COMING_UP = (502, 503, 504)  # what proxies and pods answer before they are ready
MAX_ANSWER_BYTES = 4 * 1024 * 1024
BUSY_RETRIES = 5


class Unreachable(CatsdogsError):
    """Nobody answered, or not in time."""


@dataclass(frozen=True)
class Reply:
    """`body` is the parsed JSON, or the text where the answer is none."""

    status: int
    body: Any
    text: str
    seconds: float


def checked_url(base_url: str) -> str:
    """Without a trailing slash. Raises UsageError unless it is an http or https address."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--base-url {base_url!r} is no address: it looks like http://127.0.0.1:8080.")
    return base_url.rstrip("/")


class Client:
    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session, self.base_url = session, base_url

    async def get(self, path: str) -> Reply:
        """Raises Unreachable."""
        return await self._request("GET", path)

    async def send(self, data: bytes, name: str, field: str = "file") -> Reply:
        """POST bytes as a multipart file to /predict. Raises Unreachable."""
        form = aiohttp.FormData()
        form.add_field(field, data, filename=name, content_type="application/octet-stream")
        return await self._request("POST", "/predict", data=form)

    async def predict(self, data: bytes, name: str) -> Reply:
        """Like `send`, but goes on for a while where the service is busy or a connection breaks."""
        for attempt in range(BUSY_RETRIES):
            pause = _pause(attempt)
            try:
                reply = await self.send(data, name)
            except Unreachable:
                if attempt == BUSY_RETRIES - 1:
                    raise
            else:
                if reply.status != 503 or attempt == BUSY_RETRIES - 1:
                    return reply
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def wait_ready(self, seconds: float) -> str:
        """Wait until the service is ready; returns what said so: `/readyz`, or `/health` where there is no /readyz.

        Raises Unreachable with the last reason when the time is over.
        """
        deadline = time.monotonic() + seconds
        for attempt in range(1_000_000):
            try:
                reply = await self.get("/readyz")
                if reply.status == 404:
                    reply = await self.get("/health")
                    if reply.status == 200:
                        return "/health"
                if reply.status == 200:
                    return "/readyz"
                reason = _why(reply)
                if reply.status not in COMING_UP:
                    raise CatsdogsError(f"{self.base_url} {reason}.")
            except Unreachable as error:
                reason = str(error).removeprefix(f"{self.base_url} ").rstrip(".")
            if (pause := _pause(attempt)) > deadline - time.monotonic():
                raise Unreachable(f"{self.base_url} was not ready within {seconds:g} s: it {reason}.")
            await asyncio.sleep(pause)
        raise AssertionError("ends at the deadline")

    async def _request(self, method: str, path: str, **options: Any) -> Reply:
        started = time.perf_counter()
        try:
            async with self._session.request(method, self.base_url + path, allow_redirects=False, **options) as answer:
                content = await answer.content.read(MAX_ANSWER_BYTES)
                while len(content) < MAX_ANSWER_BYTES and (more := await answer.content.read(MAX_ANSWER_BYTES)):
                    content += more
                seconds = time.perf_counter() - started
        except TimeoutError:
            raise Unreachable(f"{self.base_url} did not answer within {self._session.timeout.total:g} s.") from None
        except aiohttp.ClientError as error:
            raise Unreachable(f"{self.base_url} cannot be reached: {_reason(error)}.") from None
        text = content.decode("utf-8", "replace")
        return Reply(answer.status, _parsed(text), text, seconds)


@asynccontextmanager
async def connected(base_url: str, timeout: float, connections: int = 8) -> AsyncIterator[Client]:
    """A client that keeps its connections open. Raises UsageError for an address that is none."""
    address = checked_url(base_url)
    limit = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(timeout=limit, connector=aiohttp.TCPConnector(limit=connections)) as session:
        yield Client(session, address)


def json_object(reply: Reply, where: str) -> dict[str, Any]:
    """The answer as a JSON object. Raises CatsdogsError naming what came instead."""
    if not isinstance(reply.body, dict):
        kind = "HTML" if reply.text.lstrip()[:1] == "<" else "something else"
        raise CatsdogsError(f"{where} answered {kind}, not JSON (status {reply.status}): is this the right address?")
    return reply.body


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _why(reply: Reply) -> str:
    reason = reply.body.get("reason") or reply.body.get("detail") if isinstance(reply.body, dict) else None
    return f"answered {reply.status}" + (f" ({reason})" if reason else "")


def _reason(error: aiohttp.ClientError) -> str:
    number = getattr(error, "errno", None) or getattr(getattr(error, "os_error", None), "errno", None)
    return (os.strerror(number) if number else str(error) or type(error).__name__).rstrip(".")


def _pause(attempt: int) -> float:
    """Exponential back-off with full jitter, so that many clients do not come back at once."""
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt, 10))
