"""What every route answers with: the settings, the model of now, its queue, and the counts."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from catsdogs.errors import BadImage, TooManyPixels
from catsdogs.images import Pixels
from catsdogs.predictor import Prediction, Predictor
from catsdogs.serve.errors import Refused
from catsdogs.serve.heat import Explanation
from catsdogs.serve.inference import Inference
from catsdogs.serve.json_body import Reader
from catsdogs.serve.metrics import Metrics
from catsdogs.serve.shared import Shared
from catsdogs.serve.state import Current, Loaded, choose, stub_prediction
from catsdogs.settings.serving import ServeSettings

T = TypeVar("T")


class Service:
    def __init__(self, settings: ServeSettings, loaded: Loaded, shared: Shared | None = None) -> None:
        self.settings, self.current, self.metrics = settings, Current(loaded), Metrics(shared)
        self.board, self.json = self.metrics.board, Reader(settings.deadline_seconds)
        self.alone = shared is None  # nobody starts another process in the place of this one
        self.inference: Inference | None = None
        if loaded.predictor is not None:
            self.inference = Inference(self.predictor, settings, self.metrics)
        self.say()

    def choose(self, loaded: Loaded) -> None:
        """How it answers from here on. The event loop answers several photos at once; threads take one at a time."""
        choose(loaded, self.settings, together=self.inference is not None and self.inference.on_loop)

    def say(self) -> None:
        """Tell the other processes what answers here, and what was refused."""
        self.board.say(self.current.answer(), self.current.refusal)

    def predictor(self) -> Predictor:
        """Raises Refused with 404 where a stub answers."""
        if self.current.predictor is None:
            raise Refused(404, "no-model", "No model is loaded.")
        return self.current.predictor

    async def predict(self, data: bytes) -> Prediction:
        """Raises Refused."""
        self.metrics.upload.observe(len(data))
        prediction = await (self.inference.predict(data) if self.inference else self._stub(data))
        self.metrics.predicted(prediction)
        return prediction

    async def classify(self, pixels: Pixels) -> Prediction:
        """A prepared photo, uint8 [1, image_size, image_size, 3]. Raises Refused."""
        prediction = await self._queue().classify(pixels)
        self.metrics.predicted(prediction)
        return prediction

    async def explain(self, data: bytes, picture: bool) -> Explanation:
        """Raises Refused."""
        self.metrics.upload.observe(len(data))
        explanation = await self._queue().explain(data, picture)
        self.metrics.predicted(explanation.prediction)
        return explanation

    async def several(self, work: Callable[[T], Awaitable[Prediction]], photos: Sequence[T]) -> list[
            Prediction | Refused]:
        """One answer a photo, in order, all by the same model: where another took over meanwhile, by that one.

        At most as many wait at a time as there are threads: a batch fills no queue. What is answered once more counts
        once more. Raises Refused with 504 past the deadline of the whole request.
        """
        self.metrics.batch.observe(len(photos))
        deadline = self.settings.deadline_seconds
        try:
            async with asyncio.timeout(deadline):
                return await self._by_one_model(work, photos)
        except TimeoutError:
            raise Refused(504, "deadline", f"No answer within {deadline:g} s.") from None

    async def _by_one_model(self, work: Callable[[T], Awaitable[Prediction]], photos: Sequence[T]) -> list[
            Prediction | Refused]:
        answers = await self._each(work, photos)
        while len({answer.version for answer in answers if isinstance(answer, Prediction)}) > 1:
            now = self.current.version
            older = [place for place, answer in enumerate(answers)
                     if isinstance(answer, Prediction) and answer.version != now]
            again = await self._each(work, [photos[place] for place in older])
            for place, answer in zip(older, again, strict=True):
                answers[place] = answer
        return answers

    async def _each(self, work: Callable[[T], Awaitable[Prediction]], photos: Sequence[T]) -> list[
            Prediction | Refused]:
        places = asyncio.Semaphore(self.inference.threads if self.inference else 1)

        async def one(photo: T) -> Prediction | Refused:
            async with places:
                try:
                    return await work(photo)
                except Refused as refused:
                    return refused

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(photo)) for photo in photos]
        return [task.result() for task in tasks]

    def _queue(self) -> Inference:
        self.predictor()
        assert self.inference is not None, "a model that was loaded has a queue"
        return self.inference

    async def _stub(self, data: bytes) -> Prediction:
        try:
            return await run_in_threadpool(stub_prediction, data, self.settings.max_pixels)
        except TooManyPixels as error:
            raise Refused(413, error.reason, str(error)) from None
        except BadImage as error:
            raise Refused(400, error.reason, str(error)) from None

    def stuck(self) -> bool:
        """Whether a photo holds up a thread, which only another process would free."""
        return self.inference is not None and self.inference.stuck()

    def close(self) -> None:
        if self.inference is not None:
            self.inference.close()
