"""The same photos to the candidate and to the champion, over HTTP, in turns, so that both meet the same conditions."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any

import numpy as np

from catsdogs.artifacts import EvalRow, read_eval_batch
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.evaluate.client import Client, Reply, connected, json_object
from catsdogs.gate.judge import Answered
from catsdogs.log import event

CHAMPION_SECONDS = 10.0  # to answer at all; a champion that does not cannot be compared with


@dataclass(frozen=True)
class Photo:
    name: str
    label: str
    data: bytes


@dataclass(frozen=True)
class Asked:
    """What one service answered to each photo; `label` is empty where it answered none."""

    label: str
    confidence: float
    seconds: float
    classes: tuple[str, ...]
    error: str


def read_photos(csv: Path) -> list[Photo]:
    """The evaluation batch. Raises UsageError where it is missing, empty, or names files outside its folder."""
    if not csv.exists():
        raise UsageError(f"{csv} does not exist: write it with `catsdogs eval-batch`, or name another --input-csv.")
    rows = read_eval_batch(csv)
    if not rows:
        raise UsageError(f"{csv} names no photos: write it with `catsdogs eval-batch`.")
    return [_photo(csv, row) for row in rows]


def _photo(csv: Path, row: EvalRow) -> Photo:
    parts = PurePosixPath(row.path)
    if parts.is_absolute() or ".." in parts.parts:
        raise UsageError(f"{csv} names {row.path!r}, which leaves its folder: refused.")
    return Photo(parts.name, row.label, (csv.parent / row.path).read_bytes())


async def model_of(client: Client) -> dict[str, Any]:
    """What /model says of the model that answers. Raises CatsdogsError."""
    reply = await client.get("/model")
    if reply.status != 200:
        raise CatsdogsError(f"{client.base_url}/model answered {reply.status}: this service runs no model of ours.")
    return json_object(reply, "/model")


async def ask_both(
    candidate: str, champion: str | None, photos: Sequence[Photo], *, concurrency: int, timeout: float,
) -> tuple[Answered, Answered | None, list[str]]:
    """Answers of both, and why the candidate did not answer, where it did not. The champion is None where there is
    none, or where it answers nobody: then it cannot be compared with, which the third list does not say. Why it left
    single photos out is an event."""
    async with connected(candidate, timeout, concurrency) as new:
        if champion is None:
            found = await _ask([new], photos, concurrency)
            return *(await _answered(new, found[0]), None), _errors(found[0])
        async with connected(champion, timeout, concurrency) as old:
            found = await _ask([new, old], photos, concurrency)
            for reason in _errors(found[1]):
                event("champion_unanswered", because=reason)
            return await _answered(new, found[0]), await _answered(old, found[1]), _errors(found[0])


async def answers_users(address: str) -> bool:
    """Whether the public service is ready at all."""
    async with connected(address, CHAMPION_SECONDS) as client:
        try:
            await client.wait_ready(CHAMPION_SECONDS)
        except CatsdogsError:
            return False
    return True


async def _ask(clients: Sequence[Client], photos: Sequence[Photo], concurrency: int) -> list[list[Asked]]:
    found: list[dict[int, Asked]] = [{} for _ in clients]
    waiting = iter(enumerate(photos))
    for client in clients:
        await _one(client, photos[0])  # connections and lazy parts are not what is measured

    async def worker() -> None:
        for number, photo in waiting:
            order = range(len(clients)) if number % 2 else reversed(range(len(clients)))
            for place in order:
                found[place][number] = await _one(clients[place], photo)

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return [[answers[number] for number in range(len(photos))] for answers in found]


async def _one(client: Client, photo: Photo) -> Asked:
    try:
        return _parsed(await client.predict(photo.data, photo.name))
    except CatsdogsError as error:
        return Asked("", 0.0, 0.0, (), str(error).rstrip("."))


def _parsed(reply: Reply) -> Asked:
    body = json_object(reply, "/predict")
    if reply.status != 200:
        raise CatsdogsError(f"status {reply.status} ({body.get('detail')})")
    label, confidence, shares = body.get("label"), body.get("confidence"), body.get("probabilities")
    if not isinstance(label, str) or not isinstance(confidence, int | float) or not isinstance(shares, dict):
        raise CatsdogsError("/predict answered without label, confidence and probabilities")
    return Asked(label, min(max(float(confidence), 0.0), 1.0), reply.seconds, tuple(shares), "")


def _errors(asked: Sequence[Asked]) -> list[str]:
    reasons = [one.error for one in asked if one.error]
    return [f"{reasons.count(reason)} photos were not answered: {reason}" for reason in dict.fromkeys(reasons)]


async def _answered(client: Client, asked: Sequence[Asked]) -> Answered:
    """A photo that was not answered is a wrong answer without confidence; of the champion's, `judge` compares none."""
    about = await model_of(client)
    times = [1000 * one.seconds for one in asked if not one.error]
    return Answered(
        name=client.base_url, version=about.get("version"), model_digest=about.get("model_digest"),
        commit=(about.get("lineage") or {}).get("commit"), classes=list(about.get("classes") or []),
        labels=[one.label for one in asked], confidence=np.array([one.confidence for one in asked]),
        latency_ms=median(times) if times else 0.0, megabytes=None,
    )
