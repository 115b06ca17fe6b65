"""Photos are decoded and answered off the event loop, in a bounded queue, with a deadline."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from catsdogs.errors import BadImage, TooManyPixels
from catsdogs.images import Pixels
from catsdogs.machine import cores
from catsdogs.predictor import Prediction, Predictor
from catsdogs.serve.errors import Refused
from catsdogs.serve.heat import Explanation, explained
from catsdogs.serve.metrics import Metrics
from catsdogs.settings.serving import ServeSettings

T = TypeVar("T")


class Inference:
    """One thread a core; each runs decoding and the network for one photo at a time.

    `model` is asked when a photo's turn comes: after a swap the next photo is answered by the new model.
    """

    def __init__(self, model: Callable[[], Predictor], settings: ServeSettings, metrics: Metrics) -> None:
        self.model, self.metrics = model, metrics
        self.max_pixels, self.deadline = settings.max_pixels, settings.deadline_seconds
        self.threads = settings.threads or cores()
        self.capacity = self.threads + settings.queue_size
        self._held = 0
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="inference")

    async def predict(self, data: bytes) -> Prediction:
        """An encoded photo. Raises Refused: 400 and 413 for it, 503 when the queue is full, 504 past the deadline."""
        return await self._queued(lambda predictor: self._answer(predictor, self._prepare(predictor, data)))

    async def classify(self, pixels: Pixels) -> Prediction:
        """A prepared photo, uint8 [1, image_size, image_size, 3]. Raises Refused."""
        return await self._queued(lambda predictor: self._answer(predictor, pixels))

    async def explain(self, data: bytes, picture: bool) -> Explanation:
        """What the network looked at; with `picture` also as a PNG over the photo. Raises Refused."""
        def work(predictor: Predictor) -> Explanation:
            if not predictor.explains:
                raise Refused(404, "no-evidence", "This model cannot explain itself: run `catsdogs package` again.")
            prediction, evidence = predictor.explain(self._prepare(predictor, data))
            return explained(prediction, evidence, data if picture else None)

        return await self._queued(work)

    def _prepare(self, predictor: Predictor, data: bytes) -> Pixels:
        with self.metrics.timed(self.metrics.decode):
            return predictor.prepare(data, self.max_pixels)

    def _answer(self, predictor: Predictor, pixels: Pixels) -> Prediction:
        with self.metrics.timed(self.metrics.inference):
            return predictor.answer(pixels)

    async def _queued(self, work: Callable[[Predictor], T]) -> T:
        if self._held >= self.capacity:
            raise Refused(503, "queue-full", "Too many photos are waiting; try again.", {"Retry-After": "1"})
        self._held += 1
        self.metrics.queue.set(self._held)
        abandoned = threading.Event()

        def turn() -> T:
            if abandoned.is_set():
                raise BadImage("abandoned", "Nobody waits for this answer any more.")
            return work(self.model())

        running = asyncio.get_running_loop().run_in_executor(self._pool, turn)
        running.add_done_callback(self._release)
        try:
            return await asyncio.wait_for(asyncio.shield(running), self.deadline)
        except TimeoutError:
            raise Refused(504, "deadline", f"No answer within {self.deadline:g} s.") from None
        except TooManyPixels as error:
            raise Refused(413, error.reason, str(error)) from None
        except BadImage as error:
            raise Refused(400, error.reason, str(error)) from None
        finally:
            abandoned.set()  # whoever still waits in the queue for a client that is gone is skipped

    def _release(self, running: "asyncio.Future[T]") -> None:
        if not running.cancelled():
            running.exception()  # mark as seen: past the deadline nobody else asks
        self._held -= 1
        self.metrics.queue.set(self._held)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
