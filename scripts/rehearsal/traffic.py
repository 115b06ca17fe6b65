"""A client that asks the public address all the time, and counts every answer: who lost a request would see it here."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

PER_SECOND = 8.0
AT_MOST = 12_000
"""Requests in all: the rehearsal ends by itself, also when it is stuck."""
PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class Photo:
    label: str
    data: bytes


@dataclass(frozen=True)
class Answer:
    at: float  # time.monotonic
    status: int  # 0: no answer at all
    reason: str
    version: str
    right: bool
    seconds: float


@dataclass
class Traffic:
    """Answers so far. `between` looks at a part of them."""

    answers: list[Answer] = field(default_factory=list)

    def between(self, start: float, end: float) -> "Traffic":
        return Traffic([answer for answer in self.answers if start <= answer.at < end])

    @property
    def lost(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    @property
    def accuracy(self) -> float:
        """Share of right answers among those that came; 0 where none came."""
        came = [answer for answer in self.answers if answer.status == 200]
        return sum(answer.right for answer in came) / len(came) if came else 0.0

    @property
    def versions(self) -> dict[str, int]:
        """Answers by the model that gave them."""
        return dict(Counter(answer.version for answer in self.answers if answer.status == 200))

    def data(self) -> dict[str, Any]:
        slowest = max((answer.seconds for answer in self.answers), default=0.0)
        return {
            "requests": len(self.answers), "lost": len(self.lost), "accuracy": round(self.accuracy, 4),
            "versions": self.versions, "slowest_seconds": round(slowest, 3),
            "reasons": dict(Counter(answer.reason for answer in self.lost)),
        }


def photos(folder: Path, per_class: int = 20) -> list[Photo]:
    """Labelled photos of `folder/<class>/`, classes in turn."""
    by_class = [[Photo(label.name.lower(), path.read_bytes()) for path in sorted(label.iterdir())[:per_class]]
                for label in sorted(folder.iterdir()) if label.is_dir()]
    return [photo for row in zip(*by_class, strict=False) for photo in row]


@contextmanager
def traffic(address: str, asked: list[Photo]) -> Iterator[Traffic]:
    """Ask in a thread until the block ends; the answers are complete when it has ended."""
    seen, stop = Traffic(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_ask(address, asked, seen, stop)), name="traffic")
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


async def _ask(address: str, asked: list[Photo], seen: Traffic, stop: threading.Event) -> None:
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    # One photo a connection: what a crowd of visitors does, and what meets a proxy that switches at its weakest moment.
    connector = aiohttp.TCPConnector(force_close=True, limit=64)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        waiting = set()
        started = time.monotonic()
        for number in range(AT_MOST):
            if stop.is_set():
                break
            task = asyncio.create_task(_one(session, address, asked[number % len(asked)], seen))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
            await asyncio.sleep(max(0.0, started + (number + 1) / PER_SECOND - time.monotonic()))
        await asyncio.gather(*waiting)


async def _one(session: aiohttp.ClientSession, address: str, photo: Photo, seen: Traffic) -> None:
    """Never tries again: a request that fails is a request that somebody lost."""
    form = aiohttp.FormData()
    form.add_field("file", photo.data, filename="photo.jpg", content_type="image/jpeg")
    at = time.monotonic()
    status, reason, version, right = 0, "", "", False
    try:
        async with session.post(f"{address}/predict", data=form) as reply:
            status, version = reply.status, reply.headers.get("X-Model-Version", "")
            body = await reply.json(content_type=None)
            right = status == 200 and str(body.get("label", "")).lower() == photo.label
            reason = "" if status == 200 else f"{status} {str(body)[:120]}"
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        status, reason = 0, f"{type(error).__name__}: {error}"[:160]
    seen.answers.append(Answer(at, status, reason, version, right, time.monotonic() - at))
