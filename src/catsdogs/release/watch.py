"""After the switch: photos to the public address, as users send them, and an eye on every replica, until the image has
proved itself or failed. A balancer hides a replica that ends or is not ready while the others answer.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from catsdogs.clusters.cluster import Cluster
from catsdogs.errors import CatsdogsError
from catsdogs.evaluate.client import Client, Unreachable, connected
from catsdogs.figures import percentiles
from catsdogs.log import event
from catsdogs.release.ask import Photo
from catsdogs.settings.release import ReleaseSettings

LOOK_SECONDS = 2.0  # between two looks at the replicas; what is wrong in both of them is believed


@dataclass(frozen=True)
class Watched:
    sent: int
    failed: int
    p99_ms: float


async def watch(
    address: str, photos: Sequence[Photo], settings: ReleaseSettings, look: Callable[[], None], cluster: Cluster
) -> Watched:
    """Raises CatsdogsError as soon as more requests fail than may, or a replica ails.

    `look` is called before each photo, and may raise too. Nothing is tried again, unlike in an evaluation: each failure
    is one that a user would have met.
    """
    replicas = asyncio.create_task(_replicas(cluster))
    try:
        watched = await _requests(address, photos, settings, look, replicas)
    finally:
        replicas.cancel()
        await asyncio.gather(replicas, return_exceptions=True)  # what it raised was raised above, or comes second
    if settings.watch_seconds and cluster.ailing():  # nothing else is under way any more
        await asyncio.sleep(LOOK_SECONDS)
        _no_ailment(cluster.ailing())
    return watched


async def _requests(
    address: str, photos: Sequence[Photo], settings: ReleaseSettings, look: Callable[[], None],
    replicas: asyncio.Task[None],
) -> Watched:
    allowed = settings.max_error_rate * max(1.0, settings.watch_seconds * settings.watch_rate)
    times: list[float] = []
    reasons: list[str] = []
    started, sent = time.monotonic(), 0
    while (at := sent / settings.watch_rate) < settings.watch_seconds:
        await asyncio.sleep(max(0.0, started + at - time.monotonic()))
        look()
        if replicas.done():
            replicas.result()  # raises
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


async def _replicas(cluster: Cluster) -> None:
    """Look until cancelled. A cluster that does not answer for a while is no fault of the image; the last look, which
    `watch` takes itself, must be answered."""
    before: list[str] = []
    while True:
        try:
            now = await asyncio.to_thread(cluster.ailing)
        except CatsdogsError as error:
            event("replicas_not_seen", because=error)
            now = []
        if before and now:
            _no_ailment(now)
        before = now
        await asyncio.sleep(LOOK_SECONDS)


def _no_ailment(found: Sequence[str]) -> None:
    if found:
        raise CatsdogsError(f"A public replica failed while it was watched: {'; '.join(found)}.")


async def _probe(client: Client, photo: Photo) -> tuple[str, float]:
    started = time.perf_counter()
    try:
        reply = await client.send(photo.data, photo.name)
    except Unreachable as error:
        return str(error).rstrip("."), time.perf_counter() - started
    return ("" if reply.status == 200 else f"status {reply.status}"), reply.seconds
