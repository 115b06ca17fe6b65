"""Photos are decoded and answered off the event loop, in a bounded queue, with a deadline."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from catsdogs.errors import BadImage, TooManyPixels
from catsdogs.machine import cores
from catsdogs.predictor import Prediction, Predictor
from catsdogs.serve.errors import Refused
from catsdogs.serve.metrics import Metrics
from catsdogs.settings.serving import ServeSettings


class Inference:
    """One thread a core; each runs decoding and the network for one photo at a time."""

    def __init__(self, predictor: Predictor, settings: ServeSettings, metrics: Metrics) -> None:
        self.predictor, self.metrics = predictor, metrics
        self.max_pixels, self.deadline = settings.max_pixels, settings.deadline_seconds
        self.threads = settings.threads or cores()
        self.capacity = self.threads + settings.queue_size
        self._held = 0
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="inference")

    async def predict(self, data: bytes) -> Prediction:
        """Raises Refused: 400 and 413 for the photo, 503 when the queue is full, 504 past the deadline."""
        if self._held >= self.capacity:
            raise Refused(503, "queue-full", "Too many photos are waiting; try again.", {"Retry-After": "1"})
        self._held += 1
        self.metrics.queue.set(self._held)
        abandoned = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(self._pool, self._work, data, abandoned)
        work.add_done_callback(self._release)
        try:
            return await asyncio.wait_for(asyncio.shield(work), self.deadline)
        except TimeoutError:
            raise Refused(504, "deadline", f"No answer within {self.deadline:g} s.") from None
        except TooManyPixels as error:
            raise Refused(413, error.reason, str(error)) from None
        except BadImage as error:
            raise Refused(400, error.reason, str(error)) from None
        finally:
            abandoned.set()  # whoever still waits in the queue for a client that is gone is skipped

    def _work(self, data: bytes, abandoned: threading.Event) -> Prediction:
        if abandoned.is_set():
            raise BadImage("abandoned", "Nobody waits for this answer any more.")
        with self.metrics.timed(self.metrics.decode):
            pixels = self.predictor.prepare(data, self.max_pixels)
        with self.metrics.timed(self.metrics.inference):
            return self.predictor.answer(pixels)

    def _release(self, work: "asyncio.Future[Prediction]") -> None:
        if not work.cancelled():
            work.exception()  # mark as seen: past the deadline nobody else asks
        self._held -= 1
        self.metrics.queue.set(self._held)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
