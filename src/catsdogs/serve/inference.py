"""Photos are decoded and answered in bounded queues, with a deadline, together under load.

What takes long is done in threads, what takes a few milliseconds on the event loop where it has a core of its own.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from time import monotonic, perf_counter
from typing import Any

from catsdogs.errors import BadImage, TooManyPixels
from catsdogs.images import Pixels
from catsdogs.machine import cores, give_way
from catsdogs.predictor import Prediction, Predictor
from catsdogs.serve.errors import Refused
from catsdogs.serve.heat import Explanation, explained
from catsdogs.serve.job import Job, alone
from catsdogs.serve.metrics import Metrics
from catsdogs.serve.quick import is_quick
from catsdogs.serve.turns import Turns
from catsdogs.settings.serving import ServeSettings

STUCK = 3  # times the deadline: a thread that has been at one photo for so long is not coming back
JOIN_SECONDS = 1.0  # for what is worked on when all else has ended


class Inference:
    """The event loop and threads, which take photos from a queue each, first in, first out.

    Whoever is free takes what waits, up to the model's `at_once`, and waits for no more; so batches form under load
    only. A thread takes one at a time unless the settings name a number: of large photos, decoding several before the
    first is answered takes long. `model` is asked when a photo's turn comes: after a swap the next photo is answered
    by the new model.
    """

    def __init__(self, model: Callable[[], Predictor], settings: ServeSettings, metrics: Metrics) -> None:
        self.model, self.metrics = model, metrics
        self.max_pixels, self.deadline = settings.max_pixels, settings.deadline_seconds
        self.threads = settings.threads or cores()
        self.capacity = self.threads + settings.queue_size
        self.on_loop = self.threads == 1  # several cores are for several photos at a time
        self.in_a_thread = settings.batch or 1
        self._held = 0
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._turns = Turns(model, self._predictions, self._deliver, self._jobs.put)
        self._since: list[float | None] = [None] * self.threads  # when each began with what it is at
        self._running = [threading.Thread(target=self._work, args=(number,), name=f"inference-{number}", daemon=True)
                         for number in range(self.threads)]
        for thread in self._running:
            thread.start()

    async def predict(self, data: bytes) -> Prediction:
        """An encoded photo. Raises Refused: 400 and 413 for it, 503 when the queue is full, 504 past the deadline."""
        prediction: Prediction = await self._queued(
            prepare=lambda predictor: self._prepare(predictor, data), quick=self.on_loop and is_quick(data))
        return prediction

    async def classify(self, pixels: Pixels) -> Prediction:
        """A prepared photo, uint8 [1, image_size, image_size, 3]. Raises Refused."""
        def unchanged(predictor: Predictor) -> Pixels:
            if pixels.shape[1] != predictor.card.image_size:  # it took over after these were checked
                raise Refused(503, "model-changed", "A model for photos of another size has taken over: see /model.",
                              {"Retry-After": "1"})
            return pixels

        prediction: Prediction = await self._queued(prepare=unchanged, quick=self.on_loop)
        return prediction

    async def explain(self, data: bytes, picture: bool) -> Explanation:
        """What the network looked at; with `picture` also as a PNG over the photo. Raises Refused."""
        def work(predictor: Predictor) -> Explanation:
            if not predictor.explains:
                raise Refused(404, "no-evidence", "This model cannot explain itself: run `catsdogs package` again.")
            prediction, evidence = predictor.explain(self._prepare(predictor, data))
            return explained(prediction, evidence, data if picture else None, self.max_pixels)

        explanation: Explanation = await self._queued(alone=work)
        return explanation

    def _prepare(self, predictor: Predictor, data: bytes) -> Pixels:
        started = perf_counter()
        pixels = predictor.prepare(data, self.max_pixels)
        self.metrics.decode.observe(perf_counter() - started)
        return pixels

    async def _queued(self, prepare: Callable[[Predictor], Pixels] | None = None,
                      alone: Callable[[Predictor], Any] | None = None, quick: bool = False) -> Any:
        if self._held >= self.capacity:
            raise Refused(503, "queue-full", "Too many photos are waiting; try again.", {"Retry-After": "1"})
        job = Job(asyncio.get_running_loop().create_future(), prepare, alone)
        self._hold(1)
        if quick:
            self._turns.take(job)
        else:
            self._jobs.put(job)
        try:
            async with asyncio.timeout(self.deadline):
                return await job.answer
        except TimeoutError:
            raise Refused(504, "deadline", f"No answer within {self.deadline:g} s.") from None
        except TooManyPixels as error:
            raise Refused(413, error.reason, str(error)) from None
        except BadImage as error:
            raise Refused(400, error.reason, str(error)) from None
        finally:
            job.give_up()
            if not job.begun:
                self._release(job)  # or threads that are held up would leave no place for what is quick
            del job, prepare, alone  # an error's traceback holds this frame, and these hold the error and the photo

    def _hold(self, more: int) -> None:
        self._held += more
        self.metrics.queue.set(self._held)

    def _release(self, job: Job) -> None:
        if job.counted:
            job.counted = False
            self._hold(-1)

    def stuck(self) -> bool:
        """Whether a thread is held up by a photo, as by one that takes hours to decode."""
        before = monotonic() - STUCK * self.deadline
        return any(since is not None and since < before for since in self._since)

    def _work(self, number: int) -> None:
        """A thread, until None is in the queue. The event loop comes first: while 64 clients uploaded 12 megapixels of
        2.2 MB each, probes were answered within 58 to 102 ms (p99), and so within 18 to 30 (2 cores with AVX2)."""
        give_way()
        while (job := self._jobs.get()) is not None:
            jobs = [job]
            while len(jobs) < self.in_a_thread:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    self._jobs.put(None)  # for the next round, which ends
                    break
                jobs.append(more)
            for job in jobs:
                job.begun = True
            self._since[number] = monotonic()
            answers = self._answers(jobs)
            self._since[number] = None
            loop = job.answer.get_loop()
            try:
                loop.call_soon_threadsafe(self._deliver, jobs, answers)
            except RuntimeError:
                pass  # the loop is closed: nobody waits
            job = jobs = answers = more = None  # type: ignore[assignment]  # photos are large: keep none

    def _answers(self, jobs: Sequence[Job]) -> list[Any]:
        """One a job, in order; what it raised in place of it."""
        answers: list[Any] = [None] * len(jobs)
        prepared: list[tuple[int, Pixels]] = []
        try:
            predictor = self.model()
        except Refused as refused:
            return [refused] * len(jobs)
        for place, job in enumerate(jobs):
            work, prepare = job.alone, job.prepare  # first: the event loop may give it up at any moment
            if job.abandoned:
                continue
            try:
                if work is not None:
                    answers[place] = work(predictor)
                elif prepare is not None:
                    prepared.append((place, prepare(predictor)))
            except Exception as error:  # of this photo alone; raised again where it is waited for
                answers[place] = alone(error)
            work = prepare = None  # photos are large
        if prepared:
            predictions = self._predictions(predictor, [pixels for _, pixels in prepared])
            for (place, _), prediction in zip(prepared, predictions, strict=True):
                answers[place] = prediction
        return answers

    def _predictions(self, predictor: Predictor, pixels: list[Pixels]) -> Sequence[Any]:
        """One a photo, or what was raised in place of all."""
        try:
            return self._network(predictor, pixels)
        except Exception as error:
            return [alone(error)] * len(pixels)

    def _network(self, predictor: Predictor, pixels: list[Pixels]) -> list[Prediction]:
        self.metrics.together.observe(len(pixels))
        started = perf_counter()
        predictions = ([predictor.answer(pixels[0])] if len(pixels) == 1
                       else predictor.answers(pixels))
        share = (perf_counter() - started) / len(pixels)
        for _ in pixels:
            self.metrics.inference.observe(share)
        return predictions

    def _deliver(self, jobs: Sequence[Job], answers: Sequence[Any]) -> None:
        for job, answer in zip(jobs, answers, strict=True):
            self._release(job)
            if job.answer.done():
                continue  # cancelled: nobody waits
            if isinstance(answer, BaseException):
                job.answer.set_exception(answer)
                job.answer.exception()  # mark as seen: past the deadline nobody else asks
            else:
                job.answer.set_result(answer)

    def close(self) -> None:
        """Ends the threads after what they work on; one that is held up is left to the end of the process."""
        for _ in self._running:
            self._jobs.put(None)
        until = monotonic() + JOIN_SECONDS
        for thread in self._running:
            thread.join(max(0.0, until - monotonic()))
