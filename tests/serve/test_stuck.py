"""A photo that holds up a thread: the others go on, and the process is replaced or says that it should be."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import cast

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from catsdogs.predictor import Predictor, load_predictor
from catsdogs.serve import inference as module
from catsdogs.serve.app import create_app
from catsdogs.serve.errors import Refused
from catsdogs.serve.inference import Inference
from catsdogs.serve.metrics import Metrics
from catsdogs.serve.place import Worker
from catsdogs.serve.shared import Shared
from catsdogs.serve.state import load
from catsdogs.serve.supervisor import Supervisor
from catsdogs.settings.serving import ServeSettings
from tests.photos import encoded, picture
from tests.serve.test_inference import PHOTOS, Slow
from tests.serve.test_workers import serving
from tests.tiny_model import write_tiny_model
from tests.waiting import until


@pytest.fixture
def slow(tmp_path: Path) -> Slow:
    return Slow(load_predictor(write_tiny_model(tmp_path)))


def held_up(slow: Slow, **options: object) -> Inference:
    settings = ServeSettings(threads=1, queue_size=2, **options)  # type: ignore[arg-type]
    return Inference(lambda: cast(Predictor, slow), settings, Metrics())


def test_what_is_given_up_behind_it_leaves_its_place_and_its_photo(slow: Slow) -> None:
    inference = held_up(slow)

    async def go() -> list[object]:
        first = asyncio.create_task(inference.predict(PHOTOS[0]))
        await asyncio.to_thread(slow.begun.wait, 30)
        for _ in range(3):  # more than there are places
            waiting = [asyncio.create_task(inference.predict(photo)) for photo in PHOTOS[1:4]]
            await asyncio.sleep(0)
            with pytest.raises(Refused) as refused:
                await waiting[2]
            assert refused.value.status == 503 and inference._held == 3
            for task in waiting[:2]:
                task.cancel()
            await asyncio.gather(*waiting[:2], return_exceptions=True)
            assert inference._held == 1
        last = asyncio.create_task(inference.predict(PHOTOS[1]))
        await asyncio.sleep(0)
        slow.gate.set()
        return await asyncio.gather(first, last)

    answers = asyncio.run(go())
    inference.close()
    assert len(answers) == 2 and slow.together == [1, 1], "what nobody waits for is skipped"
    assert inference._held == 0


def test_it_is_noticed_until_the_thread_comes_back(slow: Slow) -> None:
    inference = held_up(slow, deadline_seconds=0.05)

    async def go() -> None:
        with pytest.raises(Refused) as refused:
            await inference.predict(PHOTOS[0])
        assert refused.value.status == 504

    asyncio.run(go())
    until(inference.stuck)
    slow.gate.set()
    until(lambda: not inference.stuck())
    inference.close()


def test_an_orderly_end_does_not_wait_for_it(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "JOIN_SECONDS", 0.0)
    inference = held_up(slow, deadline_seconds=0.05)

    async def go() -> None:
        with pytest.raises(Refused):
            await inference.predict(PHOTOS[0])

    asyncio.run(go())
    inference.close()
    assert inference._running[0].is_alive()
    slow.gate.set()


def test_a_single_process_says_that_it_should_be_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ServeSettings(enable_real_model=True, model_path=write_tiny_model(tmp_path), threads=1)
    with TestClient(create_app(settings, load(settings), None)) as client:
        assert client.get("/livez").status_code == 200
        monkeypatch.setattr(Inference, "stuck", lambda _: True)
        answer = client.get("/livez")
        assert answer.status_code == 503 and "start this process anew" in answer.json()["detail"]
        assert client.post("/predict", files={"file": PHOTOS[0]}).status_code == 200


def test_of_several_processes_it_ends_and_another_takes_its_place(tmp_path: Path) -> None:
    large = encoded(picture(1, (7000, 7000)), "PNG")  # for hours there is no photo: for a second or two
    with serving(write_tiny_model(tmp_path), "--deadline-seconds", "0.05") as service:
        while not service.events("stuck"):
            assert httpx.post(f"{service.address}/predict", files={"file": large}).status_code in (503, 504)
        until(lambda: service.events("worker ended"))
        until(lambda: service.count("catsdogs_http_requests_total"))


def test_one_that_is_to_be_replaced_and_stays_is_killed(supervisor: Supervisor) -> None:
    place, old = supervisor.places[0], supervisor.places[0].worker
    assert old is not None
    script = ("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
              "print('there', flush=True)\ntime.sleep(99)")
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as held:
        assert held.stdout is not None and held.stdout.readline() == b"there\n"
        old.pid = held.pid
        place.successor = Worker(2**22 + 2, Shared(supervisor.folder, 2), report=-1)
        supervisor._ready(place, place.successor)
        assert place.successor is old and old.until is not None
        supervisor._kill_what_stays()
        assert held.poll() is None, "its time is not over"
        assert supervisor._patience() is not None
        old.until = 0.0
        supervisor._kill_what_stays()
        assert held.wait(30) == -9 and old.until is None
