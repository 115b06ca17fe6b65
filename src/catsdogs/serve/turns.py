"""Small photos are decoded and answered on the event loop, with a look at the connections in between.

Waking a thread and being woken by it took 5 % of the processor time of an answer, and made some wait longer.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from catsdogs.images import Pixels
from catsdogs.predictor import Predictor
from catsdogs.serve.errors import Refused
from catsdogs.serve.job import Job, alone

QUICK_SECONDS = 0.005
"""Of a network that may answer on the event loop."""

TURN_SECONDS = 0.02
"""Of the network, for photos that it answers together there."""

PAUSES = 2
"""Turns in which none is decoded, before those that are get their answers: a request's task begins one turn after its
bytes were read."""


class Decoded(NamedTuple):
    job: Job
    pixels: Pixels
    predictor: Predictor  # that they were prepared for


class Turns:
    """`answer` gives pixels to the network, `deliver` what it found to whoever waits, and `leave` a job to the threads.
    """

    def __init__(
        self, model: Callable[[], Predictor], answer: Callable[[Predictor, list[Pixels]], Sequence[Any]],
        deliver: Callable[[Sequence[Job], Sequence[Any]], None], leave: Callable[[Job], None],
    ) -> None:
        self.model, self._answer, self._deliver, self._leave = model, answer, deliver, leave
        self._waiting: deque[Job] = deque()
        self.decoded: list[Decoded] = []
        self._turning = False  # a turn is to come
        self._pauses = 0  # turns in which no photo was decoded

    def take(self, job: Job) -> None:
        self._waiting.append(job)
        if not self._turning:
            self._turning = True
            job.answer.get_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Again and again while there is something to do, each time after a look at the connections."""
        try:
            self._decode_or_answer()
        finally:  # whatever happens, the next photo has its turn
            self._turning = bool(self._waiting or self.decoded)
            if self._turning:
                asyncio.get_running_loop().call_soon(self._turn)

    def _decode_or_answer(self) -> None:
        """One photo is decoded. Those that are decoded are answered together once there are enough of them, or none has
        come in two turns, as it takes a request that goes the full way: four clients are then answered at once."""
        predictor, most = self._quick()
        if predictor is None:
            while self._waiting:
                self._leave(self._waiting.popleft())
            self._answer_decoded()
            return
        if self.decoded and self.decoded[0].predictor is not predictor:
            self._answer_decoded()  # by the model that they were prepared for
        before = len(self.decoded)
        if self._waiting:
            self._decode(self._waiting.popleft(), predictor)
        # A photo that cannot be decoded is a pause too: whoever sends such ones again and again holds up nobody.
        self._pauses = 0 if len(self.decoded) > before else self._pauses + 1
        if self._pauses >= PAUSES or len(self.decoded) >= most:
            self._answer_decoded()

    def _quick(self) -> tuple[Predictor | None, int]:
        """The model, where it may answer on the event loop, and for how many photos at once."""
        try:
            predictor = self.model()
        except Refused:
            return None, 1
        if predictor.seconds is None or predictor.seconds > QUICK_SECONDS:
            return None, 1
        return predictor, min(predictor.at_once, max(1, int(TURN_SECONDS / predictor.seconds)))

    def _decode(self, job: Job, predictor: Predictor) -> None:
        if job.abandoned or job.prepare is None:
            self._deliver([job], [None])
            return
        try:
            self.decoded.append(Decoded(job, job.prepare(predictor), predictor))
        except Exception as error:
            self._deliver([job], [alone(error)])

    def _answer_decoded(self) -> None:
        decoded, self.decoded = self.decoded, []
        if decoded:
            self._deliver([one.job for one in decoded],
                          self._answer(decoded[0].predictor, [one.pixels for one in decoded]))
