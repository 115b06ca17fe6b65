"""The queue: batches that form under load, and work that nobody waits for."""

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from time import thread_time
from typing import Any, cast

import numpy as np
import pytest

from catsdogs.errors import BadImage
from catsdogs.images import Pixels, encode
from catsdogs.predictor import Prediction, Predictor, load_predictor
from catsdogs.serve.batching import BATCH, SAME, best_batch
from catsdogs.serve.errors import Refused
from catsdogs.serve.inference import Inference
from catsdogs.serve.job import Job
from catsdogs.serve.metrics import Metrics
from catsdogs.serve.quick import is_quick
from catsdogs.settings.serving import ServeSettings
from tests.photos import encoded, picture
from tests.serve.load import text
from tests.serve.malformed import form
from tests.servers import free_port, running
from tests.tiny_model import colour_photo, write_tiny_model
from tests.waiting import until

PHOTOS = [encode(colour_photo(number % 2, number)) for number in range(12)]


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    return load_predictor(write_tiny_model(tmp_path))


class Slow:
    """A predictor whose first photo takes until `gate` is set, so that others wait; notes what came together."""

    at_once = 1

    def __init__(self, predictor: Predictor) -> None:
        self.card = predictor.card
        self.gate, self.begun = threading.Event(), threading.Event()
        self.seconds = None  # nobody has measured that it is quick
        self.together: list[int] = []
        self._predictor = predictor
        self.prepare = predictor.prepare

    def answer(self, pixels: Pixels) -> Prediction:
        self.begun.set()
        self.gate.wait(30)
        self.together.append(1)
        return self._predictor.answer(pixels)

    def answers(self, pixels: Sequence[Pixels]) -> list[Prediction]:
        self.together.append(len(pixels))
        return self._predictor.answers(pixels)


def queue_before(slow: Slow, batch: int) -> Inference:
    return Inference(lambda: cast(Predictor, slow), ServeSettings(threads=1, batch=batch), Metrics())


@pytest.mark.parametrize(("batch", "together"), [(1, [1] * 12), (4, [1, 4, 4, 3]), (8, [1, 8, 3])])
def test_what_waits_is_answered_together_first_in_first_out(
    predictor: Predictor, batch: int, together: list[int]
) -> None:
    slow = Slow(predictor)
    inference = queue_before(slow, batch)

    async def go() -> list[Prediction | BaseException]:
        first = asyncio.create_task(inference.predict(PHOTOS[0]))
        await asyncio.to_thread(slow.begun.wait, 30)
        rest = [asyncio.create_task(inference.predict(photo)) for photo in PHOTOS[1:]]
        await asyncio.sleep(0)
        slow.gate.set()
        return await asyncio.gather(first, *rest, return_exceptions=True)

    answered = asyncio.run(go())
    inference.close()
    assert slow.together == together
    for photo, prediction in zip(PHOTOS, answered, strict=True):
        assert isinstance(prediction, Prediction)
        alone = predictor.predict(photo)
        assert prediction.label == alone.label and prediction.confidence == pytest.approx(alone.confidence, abs=1e-6)


def test_a_bad_photo_spoils_only_its_own_in_a_batch(predictor: Predictor) -> None:
    slow = Slow(predictor)
    inference = queue_before(slow, 8)

    async def go() -> list[Prediction | BaseException]:
        first = asyncio.create_task(inference.predict(PHOTOS[0]))
        await asyncio.to_thread(slow.begun.wait, 30)
        rest = [asyncio.create_task(inference.predict(photo)) for photo in (PHOTOS[1], b"no photo", PHOTOS[2])]
        await asyncio.sleep(0)
        slow.gate.set()
        return await asyncio.gather(first, *rest, return_exceptions=True)

    answered = asyncio.run(go())
    inference.close()
    assert slow.together == [1, 2] and isinstance(answered[1], Prediction) and isinstance(answered[3], Prediction)
    assert isinstance(answered[2], Refused) and answered[2].status == 400


class Watched:
    """A predictor that is said to be quick, or not; notes in which thread each photo was answered."""

    def __init__(self, predictor: Predictor, seconds: float | None, at_once: int = 1) -> None:
        self.card, self.seconds, self.threads = predictor.card, seconds, list[str]()
        self.at_once = at_once
        self.prepare = predictor.prepare
        self._predictor = predictor

    def answer(self, pixels: Pixels) -> Prediction:
        self.threads.append(threading.current_thread().name)
        return self._predictor.answer(pixels)

    def answers(self, pixels: Sequence[Pixels]) -> list[Prediction]:
        self.threads += [threading.current_thread().name] * len(pixels)
        return self._predictor.answers(pixels)


SMALL, LARGE, OTHER = (encoded(picture(1)), encoded(picture(2, (1000, 800))), encoded(picture(3), "PNG"))
DAMAGED = SMALL[:-100]


@pytest.mark.parametrize(("seconds", "threads", "photo", "where"), [
    (0.001, 1, SMALL, "MainThread"),
    (0.001, 1, LARGE, "inference-0"),
    (0.001, 1, OTHER, "inference-0"),  # how long it takes is not seen in its header
    (0.1, 1, SMALL, "inference-0"),
    (None, 1, SMALL, "inference-0"),
    (0.001, 2, SMALL, "inference-"),
])
def test_only_what_is_quick_is_answered_on_the_loop_where_one_core_is_used(
    predictor: Predictor, seconds: float | None, threads: int, photo: bytes, where: str
) -> None:
    watched = Watched(predictor, seconds)
    inference = Inference(lambda: cast(Predictor, watched), ServeSettings(threads=threads), Metrics())
    prediction = asyncio.run(inference.predict(photo))
    inference.close()
    assert [name.startswith(where) for name in watched.threads] == [True]
    assert prediction.probabilities == predictor.predict(photo).probabilities


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no niceness of their own")
def test_threads_let_the_event_loop_go_first(predictor: Predictor) -> None:
    inference = Inference(lambda: predictor, ServeSettings(threads=2), Metrics())
    asyncio.run(inference.predict(LARGE))
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    found = [os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) for thread in inference._running]
    inference.close()
    assert min(found) > mine or mine >= 15
    assert os.getpriority(os.PRIO_PROCESS, 0) == mine


def test_between_photos_the_loop_sees_to_everything_else(predictor: Predictor) -> None:
    watched = Watched(predictor, 0.001)
    inference = Inference(lambda: cast(Predictor, watched), ServeSettings(threads=1), Metrics())

    async def go() -> list[int]:
        waiting = [asyncio.create_task(inference.predict(SMALL)) for _ in range(8)]
        seen = []
        while not all(task.done() for task in waiting):
            seen.append(len(watched.threads))
            await asyncio.sleep(0)
        return seen

    seen = asyncio.run(go())
    inference.close()
    assert set(range(1, 8)) <= set(seen), "there was a turn after every photo"
    assert "catsdogs_queue_photos 0.0" in inference.metrics.text().decode()


def test_a_turn_of_the_loop_is_bounded_in_time(predictor: Predictor) -> None:
    watched = Watched(predictor, 0.005, at_once=32)  # four of these are as much as one turn may take
    inference = Inference(lambda: cast(Predictor, watched), ServeSettings(threads=1), Metrics())

    async def go() -> set[int]:
        waiting = [asyncio.create_task(inference.predict(SMALL)) for _ in range(10)]
        seen = set()
        while not all(task.done() for task in waiting):
            seen.add(len(watched.threads))
            await asyncio.sleep(0)
        return seen

    assert asyncio.run(go()) >= {0, 4, 8}
    inference.close()
    assert set(watched.threads) == {"MainThread"}


def test_a_queue_of_quick_photos_is_bounded_and_what_was_given_up_is_skipped(predictor: Predictor) -> None:
    watched = Watched(predictor, 0.001)
    inference = Inference(lambda: cast(Predictor, watched), ServeSettings(threads=1, queue_size=3), Metrics())

    async def go() -> list[Prediction | BaseException]:
        waiting = [asyncio.create_task(inference.predict(SMALL)) for _ in range(6)]
        await asyncio.sleep(0)
        waiting[3].cancel()
        return await asyncio.gather(*waiting, return_exceptions=True)

    answers = asyncio.run(go())
    inference.close()
    refused = [answer.status for answer in answers if isinstance(answer, Refused)]
    assert refused == [503, 503] and isinstance(answers[3], asyncio.CancelledError)
    assert len(watched.threads) == 3
    assert "catsdogs_queue_photos 0.0" in inference.metrics.text().decode()


def test_a_bad_photo_on_the_loop_is_refused_and_the_next_one_is_answered(predictor: Predictor) -> None:
    inference = Inference(lambda: cast(Predictor, Watched(predictor, 0.001)), ServeSettings(threads=1), Metrics())

    async def go() -> list[Prediction | BaseException]:
        return await asyncio.gather(*map(inference.predict, (b"no photo", SMALL[:300], SMALL)), return_exceptions=True)

    first, second, third = asyncio.run(go())
    inference.close()
    assert isinstance(first, Refused) and isinstance(second, Refused) and (first.status, second.status) == (400, 400)
    assert isinstance(third, Prediction)


def test_whoever_sends_damaged_photos_without_end_holds_up_nobody(predictor: Predictor) -> None:
    """Those that are decoded wait for company as long as more are, and these never are."""
    watched = Watched(predictor, 0.001, at_once=8)
    inference = Inference(lambda: cast(Predictor, watched), ServeSettings(threads=1), Metrics())
    assert is_quick(DAMAGED)

    async def go() -> Prediction:
        ended, refused = asyncio.Event(), 0

        async def damaged() -> None:
            nonlocal refused
            while not ended.is_set():
                with pytest.raises(Refused):
                    await inference.predict(DAMAGED)
                refused += 1

        senders = [asyncio.create_task(damaged()) for _ in range(10)]
        while refused < 20:
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(5):
                return await inference.predict(SMALL)
        finally:
            ended.set()
            await asyncio.gather(*senders)

    assert isinstance(asyncio.run(go()), Prediction)
    inference.close()


def test_pixels_for_another_model_than_the_one_that_took_over_spoil_only_themselves(predictor: Predictor) -> None:
    inference = Inference(lambda: cast(Predictor, Watched(predictor, 0.001, at_once=8)), ServeSettings(threads=1),
                          Metrics())
    larger = np.zeros((1, 2 * predictor.card.image_size, 2 * predictor.card.image_size, 3), np.uint8)

    async def go() -> list[Prediction | BaseException]:
        return await asyncio.gather(inference.predict(SMALL), inference.classify(larger), inference.predict(SMALL),
                                    return_exceptions=True)

    first, second, third = asyncio.run(go())
    inference.close()
    assert isinstance(first, Prediction) and isinstance(third, Prediction)
    assert isinstance(second, Refused) and second.status == 503 and "taken over" in second.detail


def leaves_none(kind: type, inference: Inference, work: Coroutine[Any, Any, None]) -> None:
    """Nothing of this kind outlives the work, without the garbage collector, while the threads wait for more."""
    gc.collect()
    gc.disable()
    try:
        asyncio.run(work)
        # A thread has handed the last answer over a moment before it lets go of it.
        until(lambda: not any(type(one) is kind for one in gc.get_objects()), seconds=10)
    finally:
        gc.enable()
        inference.close()


def test_a_thread_that_waits_keeps_no_photo(predictor: Predictor) -> None:
    slow = Slow(predictor)
    inference = queue_before(slow, 4)
    slow.gate.set()

    async def go() -> None:
        await asyncio.gather(*map(inference.predict, PHOTOS))

    leaves_none(Job, inference, go())


@pytest.mark.parametrize("bad", [b"no photo", PHOTOS[0][:-100]], ids=["in a thread", "damaged"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_refused_upload_does_not_wait_for_the_garbage_collector(
    predictor: Predictor, bad: bytes, threads: int
) -> None:
    """20 MB each would soon be all of a container's memory."""
    predictor.timed()
    inference = Inference(lambda: predictor, ServeSettings(threads=threads), Metrics())

    async def go() -> None:
        for _ in range(20):
            with pytest.raises(Refused):
                await inference.predict(bad)
        with pytest.raises(Refused):
            await inference.explain(bad, True)

    leaves_none(BadImage, inference, go())


def test_floats_are_answered_one_by_one(predictor: Predictor) -> None:
    """In bfloat16 a photo among others is rounded otherwise than alone."""
    assert best_batch(predictor) == 1


class Together:
    """A network in integers that answers a photo in `seconds`, or TOGETHER of them; among others `off` by so much."""

    def __init__(self, predictor: Predictor, alone: float, together: float, off: float = 0.0) -> None:
        self.card = predictor.card.model_copy(update={"arithmetic": "int8"})
        self.prepare, self.alone, self.together, self.off = predictor.prepare, alone, together, off

    def takes_together(self) -> bool:
        return True

    def probabilities(self, pixels: Pixels) -> np.ndarray:
        ends = thread_time() + (self.together if len(pixels) > 1 else self.alone)
        while thread_time() < ends:
            pass
        return np.full((len(pixels), 2), 0.5 + self.off * (len(pixels) > 1))


@pytest.mark.parametrize(("alone", "together", "off", "batch"), [
    (0.002, 0.004, 0.0, BATCH),
    (0.002, 0.004, 10 * SAME, 1),  # another answer
    (0.002, 0.004, float("nan"), 1),
    (0.001, 0.005, 0.0, 1),  # slower
    (0.020, 0.030, 0.0, 1),  # the first would wait too long
])
def test_several_at_once_where_it_is_faster_and_changes_nothing(
    predictor: Predictor, alone: float, together: float, off: float, batch: int
) -> None:
    assert best_batch(cast(Predictor, Together(predictor, alone, together, off))) == batch


def test_photos_that_come_while_one_is_decoded_are_answered_with_it(predictor: Predictor) -> None:
    """Four clients of which each waits for its answer before it asks again are so answered together."""
    watched = Watched(predictor, 0.001, at_once=4)
    inference = Inference(lambda: cast(Predictor, watched), ServeSettings(threads=1), Metrics())

    async def go() -> None:
        first = asyncio.create_task(inference.predict(SMALL))
        while not inference._turns.decoded:
            await asyncio.sleep(0)
        await asyncio.gather(first, *(inference.predict(SMALL) for _ in range(3)))

    asyncio.run(go())
    inference.close()
    text = inference.metrics.text().decode()
    assert "catsdogs_inference_photos_count 1.0" in text and "catsdogs_inference_photos_sum 4.0" in text


def test_a_model_that_takes_over_leaves_decoded_photos_to_the_one_before(predictor: Predictor) -> None:
    old, new = Watched(predictor, 0.001, at_once=4), Watched(predictor, 0.001, at_once=4)
    answering = old
    inference = Inference(lambda: cast(Predictor, answering), ServeSettings(threads=1), Metrics())

    async def go() -> None:
        nonlocal answering
        first = asyncio.create_task(inference.predict(SMALL))
        while not inference._turns.decoded:
            await asyncio.sleep(0)
        answering = new
        await asyncio.gather(first, inference.predict(SMALL))

    asyncio.run(go())
    inference.close()
    assert len(old.threads) == len(new.threads) == 1


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", str(port), "--model-path",
               str(write_tiny_model(tmp_path)), "--processes", "1", "--threads", "1"]
    with running(command, port) as process:
        yield port, process


def test_work_for_clients_that_have_gone_is_dropped(address: tuple[int, subprocess.Popen[bytes]]) -> None:
    """Of ten that send and close, all but what was begun is never decoded, and the next client has its answer."""
    port, _ = address
    request = form(encoded(picture(3, (5000, 4000)), "PNG", compress_level=1))  # half a second or so to decode
    clients = []
    for _ in range(10):
        clients.append(socket.create_connection(("127.0.0.1", port)))
        clients[-1].sendall(request)
    until(lambda: "catsdogs_queue_photos 10.0" in text(f"http://127.0.0.1:{port}/metrics"))
    for client in clients:
        client.close()
    counted = until(lambda: "catsdogs_queue_photos 0.0" in (now := text(f"http://127.0.0.1:{port}/metrics")) and now)
    assert 'requests_total{method="POST",route="/predict",status="499"} ' in counted
    (decoded,) = [line for line in counted.splitlines() if line.startswith("catsdogs_decode_seconds_count ")]
    assert float(decoded.split()[1]) < 8
    assert "internal-error" not in counted
