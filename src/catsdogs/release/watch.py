"""After the switch: photos to the public address, as users send them, until it has proved itself or failed."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from catsdogs.errors import CatsdogsError
from catsdogs.evaluate.client import Client, Unreachable, connected
from catsdogs.figures import percentiles
from catsdogs.release.ask import Photo
from catsdogs.settings.release import ReleaseSettings


@dataclass(frozen=True)
class Watched:
    sent: int
    failed: int
    p99_ms: float


async def watch(
    address: str, photos: Sequence[Photo], settings: ReleaseSettings, look: Callable[[], None]
) -> Watched:
    """Raises CatsdogsError as soon as more fail than may. `look` is called before each photo, and may raise too.

    Nothing is tried again, unlike in an evaluation: each failure is one that a user would have met.
    """
    allowed = settings.max_error_rate * max(1.0, settings.watch_seconds * settings.watch_rate)
    times: list[float] = []
    reasons: list[str] = []
    started, sent = time.monotonic(), 0
    while (at := sent / settings.watch_rate) < settings.watch_seconds:
        await asyncio.sleep(max(0.0, started + at - time.monotonic()))
        look()
        async with connected(address, settings.timeout_seconds, 1) as client:  # anew: balancers choose by connection
            reason, seconds = await _probe(client, photos[sent % len(photos)])
        sent += 1
        times.append(1000 * seconds)
        reasons += [reason] if reason else []
        if len(reasons) > allowed:
            raise CatsdogsError(f"The public service failed {len(reasons)} of {sent} requests, at last with: "
                                f"{reasons[-1]}.")
        if time.monotonic() - started > settings.watch_seconds + settings.timeout_seconds:
            break  # it answers more slowly than it is asked; its p99 says so
    if not times:
        return Watched(0, 0, 0.0)
    p99 = percentiles(times)["p99"]
    if p99 > settings.max_p99_ms:
        raise CatsdogsError(f"The public service's p99 of {p99:.0f} ms is above --max-p99-ms "
                            f"{settings.max_p99_ms:g} ({sent} requests).")
    return Watched(sent, len(reasons), p99)


async def _probe(client: Client, photo: Photo) -> tuple[str, float]:
    started = time.perf_counter()
    try:
        reply = await client.send(photo.data, photo.name)
    except Unreachable as error:
        return str(error).rstrip("."), time.perf_counter() - started
    return ("" if reply.status == 200 else f"status {reply.status}"), reply.seconds
