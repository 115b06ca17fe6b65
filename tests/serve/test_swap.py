"""A model that takes over while the service answers."""

import asyncio
import gc
import os
import shutil
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from catsdogs.compiled import Compiled
from catsdogs.images import encode
from catsdogs.predictor import Prediction, Predictor
from catsdogs.serve import swap
from catsdogs.serve.app import create_app
from catsdogs.serve.errors import Refused
from catsdogs.serve.service import Service
from catsdogs.serve.start import start
from catsdogs.serve.state import Loaded, load
from catsdogs.serve.swap import Swap
from catsdogs.settings.serving import ServeSettings
from tests.servers import service
from tests.tiny_model import WEIGHTS, colour_photo, write_tiny_model
from tests.waiting import until

PHOTO = {"file": ("p.png", encode(colour_photo(0, 3)))}


def place(source: Path, target: Path) -> None:
    """Copy a model as training writes it: first the weights, then the network, each whole."""
    for name in ("model.pt", "model.onnx"):
        shutil.copy(source.with_name(name), target.with_name(f"{name}.new"))
        os.replace(target.with_name(f"{name}.new"), target.with_name(name))


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    from catsdogs.files import sha256

    (tmp_path / "serving").mkdir()
    paths = {"serving": write_tiny_model(tmp_path / "serving")}
    for name in ("second", "broken"):
        (tmp_path / name).mkdir()
        write_tiny_model(tmp_path / name)
        weights = f"weights of the {name} model".encode()
        digest, damage = sha256(weights), {"weights": WEIGHTS[::-1].copy()} if name == "broken" else {}
        paths[name] = write_tiny_model(tmp_path / name, model_digest=digest, **damage)  # type: ignore[arg-type]
        paths[name].with_suffix(".pt").write_bytes(weights)
    return paths


@pytest.fixture
def address(models: dict[str, Path]) -> Iterator[str]:
    with service(models["serving"].with_suffix(".pt"), CATSDOGS_SERVE_RELOAD_SECONDS="0.1") as address:
        yield address


def version(address: str) -> str:
    return str(httpx.get(f"{address}/model").json()["version"])


def test_a_new_model_takes_over_and_no_request_is_lost(address: str, models: dict[str, Path]) -> None:
    before, ended = version(address), threading.Event()
    seen: list[tuple[int, str]] = []

    def ask() -> None:
        with httpx.Client() as client:
            while not ended.is_set():
                answer = client.post(f"{address}/predict", files=PHOTO)
                seen.append((answer.status_code, answer.headers["X-Model-Version"]))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(seen) > 20)
        place(models["second"], models["serving"])
        after = until(lambda: (now := version(address)) != before and now)
        count = len(seen)
        until(lambda: len(seen) > count + 20)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in seen} == {200} and {name for _, name in seen} == {before, after}
    assert seen[-1][1] == after
    metrics, served_in = httpx.get(f"{address}/metrics").text, httpx.get(f"{address}/model").json()["served_in"]
    assert f'catsdogs_model_info{{served_in="{served_in}",variant="baseline",version="{after}"}} 1.0' in metrics
    assert "catsdogs_model_swapped_total 1.0" in metrics and "catsdogs_model_refused_total 0.0" in metrics
    assert f'version="{before}"' in metrics  # what it answered stays counted under its name


def test_all_photos_of_a_request_are_answered_by_the_same_model(models: dict[str, Path]) -> None:
    old, new = (ServeSettings(enable_real_model=True, model_path=models[name], threads=1)
                for name in ("serving", "second"))
    photos = [encode(colour_photo(number % 2, number)) for number in range(4)]

    async def go() -> list[Prediction | Refused]:
        service, asked = Service(old, load(old)), 0

        async def work(photo: bytes) -> Prediction:
            nonlocal asked
            asked += 1
            if asked == 3:
                service.current.swap(load(new))
            return await service.predict(photo)

        try:
            answers = await service.several(work, [*photos[:2], b"no photo", *photos[2:]])
        finally:
            service.close()
        assert asked == 5 + 2  # the first two once more
        return answers

    answers = asyncio.run(go())
    assert isinstance(answers[2], Refused) and answers[2].status == 400
    expected = load(new).predictor
    assert expected is not None
    for photo, answer in zip(photos, [*answers[:2], *answers[3:]], strict=True):
        assert isinstance(answer, Prediction) and answer.version == expected.card.version
        assert answer.label == expected.predict(photo).label


def watching(models: dict[str, Path], seconds: float = 0.02) -> tuple[ServeSettings, Service]:
    settings = ServeSettings(enable_real_model=True, model_path=models["serving"], reload_seconds=seconds)
    return settings, Service(settings, load(settings))


async def comes_true(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


def test_a_model_that_came_while_the_service_started_is_taken(models: dict[str, Path]) -> None:
    async def go() -> None:
        _, service = watching(models)
        before = service.current.version
        place(models["second"], models["serving"])  # after it was read, before anybody watches
        task = asyncio.create_task(Swap(service).watch())
        try:
            await comes_true(lambda: service.current.version != before)
        finally:
            task.cancel()
            service.close()

    asyncio.run(go())


def test_no_error_of_a_new_model_ends_the_watch(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(settings: ServeSettings) -> Loaded:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "of a damaged card")

    async def go() -> None:
        _, service = watching(models)
        before, task = service.current.version, asyncio.create_task(Swap(service).watch())
        try:
            with monkeypatch.context() as patched:
                patched.setattr(swap, "load", odd)
                place(models["second"], models["serving"])
                await comes_true(lambda: service.current.refusal is not None)
                assert service.current.version == before and "damaged card" in service.current.refusal.reason
            models["serving"].touch()
            await comes_true(lambda: service.current.version != before)
        finally:
            task.cancel()
            service.close()

    asyncio.run(go())


def test_a_model_that_there_was_no_memory_for_is_tried_again(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have taken it over: two models would answer."""
    failed = 0

    def sometimes(settings: ServeSettings) -> Loaded:
        nonlocal failed
        if failed < 2:
            failed += 1
            raise MemoryError
        return load(settings)

    monkeypatch.setattr(swap, "load", sometimes)

    async def go() -> None:
        _, service = watching(models)
        before, task = service.current.version, asyncio.create_task(Swap(service).watch())
        try:
            place(models["second"], models["serving"])
            await comes_true(lambda: service.current.version != before)
            assert failed == 2 and service.current.refusal is None
        finally:
            task.cancel()
            service.close()

    asyncio.run(go())


def test_a_bad_model_is_refused_the_old_one_stays_and_a_good_one_may_follow(
    address: str, models: dict[str, Path]
) -> None:
    before = version(address)
    place(models["broken"], models["serving"])
    refused = until(lambda: httpx.get(f"{address}/model").json()["refused"])
    assert "Golden photo 0 is answered" in refused["reason"] and version(address) == before
    ready = httpx.get(f"{address}/readyz")
    assert ready.status_code == 200 and ready.json()["refused"] == refused
    metrics = httpx.get(f"{address}/metrics").text
    assert "catsdogs_model_refused_total 1.0" in metrics and 'refusal_info{reason="Golden photo 0' in metrics
    assert httpx.post(f"{address}/predict", files=PHOTO).headers["X-Model-Version"] == before
    models["serving"].write_bytes(b"half a file")
    until(lambda: "no readable ONNX" in httpx.get(f"{address}/readyz").json()["refused"]["reason"])
    models["serving"].unlink()
    place(models["second"], models["serving"])
    until(lambda: version(address) != before)
    assert httpx.get(f"{address}/readyz").json()["refused"] is None
    assert "refusal_info{" not in httpx.get(f"{address}/metrics").text


def test_a_network_that_comes_before_its_weights_is_taken_when_they_come(
    address: str, models: dict[str, Path]
) -> None:
    before, target = version(address), models["serving"]
    shutil.copy(models["second"], target)
    until(lambda: "was not made from" in (httpx.get(f"{address}/readyz").json()["refused"] or {}).get("reason", ""))
    shutil.copy(models["second"].with_suffix(".pt"), target.with_suffix(".pt"))
    until(lambda: version(address) != before)


def test_sighup_asks_for_it_at_once(models: dict[str, Path]) -> None:
    import sys

    from tests.servers import free_port, running

    port = free_port()
    command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", str(port), "--model-path",
               str(models["serving"]), "--reload-seconds", "0"]
    with running(command, port) as process:
        address = f"http://127.0.0.1:{port}"
        before = version(address)
        place(models["second"], models["serving"])
        time.sleep(0.3)
        assert version(address) == before  # it was told not to look
        process.send_signal(signal.SIGHUP)
        until(lambda: version(address) != before)


@pytest.mark.parametrize(("threads", "batch", "before", "after"), [
    (1, 0, 1, 8), (2, 0, 1, 1), (1, 1, 1, 1), (1, 4, 4, 4),
])
def test_how_many_photos_at_once_is_measured_anew_for_what_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, batch: int, before: int, after: int
) -> None:
    """Where nobody has said how many, and several would be answered together at all."""
    monkeypatch.setattr("catsdogs.serve.state.best_batch", lambda predictor: 8)
    settings = ServeSettings(
        enable_real_model=True, model_path=write_tiny_model(tmp_path), threads=threads, batch=batch)
    serving = Service(settings, load(settings))
    assert serving.predictor().at_once == before
    asyncio.run(Swap(serving).reload())
    assert serving.predictor().at_once == after
    serving.close()


def integers_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServeSettings:
    """A network in integers that takes 3 s a photo, and 1 s in float32."""
    monkeypatch.setattr("catsdogs.integers.are_exact", lambda _: True)
    monkeypatch.setattr(Predictor, "timed", lambda self: 1.0 if self.is_exact else 3.0)
    return ServeSettings(
        enable_real_model=True, model_path=write_tiny_model(tmp_path, arithmetic="int8"), threads=1, batch=1)


def test_a_start_does_not_wait_for_the_choice_of_the_arithmetic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = integers_at(tmp_path, monkeypatch)
    in_float32 = Predictor.in_float32
    monkeypatch.setattr(Predictor, "in_float32", lambda _: pytest.fail("compiled before it could answer"))
    loaded = load(settings)
    monkeypatch.setattr(Predictor, "in_float32", in_float32)
    serving = Service(settings, loaded)
    assert not serving.predictor().is_exact
    serving.choose(loaded)
    assert serving.predictor().is_exact and serving.predictor().seconds == 1.0
    serving.close()


def test_what_takes_over_answers_in_the_arithmetic_that_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = integers_at(tmp_path, monkeypatch)
    serving = Service(settings, load(settings))
    before = serving.predictor()
    asyncio.run(Swap(serving).reload())
    assert not before.is_exact and serving.predictor().is_exact
    serving.close()


def test_where_nothing_can_be_measured_what_answers_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = integers_at(tmp_path, monkeypatch)

    def fails(_: Predictor) -> Predictor:
        raise RuntimeError("no memory")

    monkeypatch.setattr(Predictor, "in_float32", fails)
    loaded = load(settings)
    serving = Service(settings, loaded)
    serving.choose(loaded)
    assert not serving.predictor().is_exact
    assert "RuntimeError: no memory" in capsys.readouterr().err
    serving.close()


def test_the_arithmetic_is_chosen_right_after_the_start_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = integers_at(tmp_path, monkeypatch)
    with TestClient(start(settings)) as client:
        until(lambda: client.get("/model").json()["served_in"] == "float32")
        until(lambda: 'served_in="float32"' in client.get("/metrics").text)
        assert client.get("/model").json()["arithmetic"] == "int8"


def test_a_batch_that_was_asked_for_is_compiled_before_the_other_arithmetic_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the first photos that wait together would wait for that, and with them the event loop."""
    settings = integers_at(tmp_path, monkeypatch).model_copy(update={"batch": 4})
    loaded = load(settings)
    serving = Service(settings, loaded)
    serving.choose(loaded)
    monkeypatch.setattr(Compiled, "_compile", lambda *_: pytest.fail("compiled for an answer"))
    pixels = [colour_photo(0, seed)[None] for seed in range(4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Compiled, "is_exact", True)
        assert len(serving.predictor().answers(pixels)) == 4
    serving.close()


def test_a_model_that_was_taken_over_from_is_let_go(models: dict[str, Path]) -> None:
    """The first one too: its network takes tens of megabytes."""
    settings = ServeSettings(enable_real_model=True, model_path=models["serving"], reload_seconds=0.05)
    loaded = load(settings)
    assert loaded.predictor is not None
    first, version = weakref.ref(loaded.predictor), loaded.version
    app = create_app(settings, loaded, None)
    del loaded
    with TestClient(app) as client:
        assert client.post("/predict", files={"file": ("p", encode(colour_photo(0, 1)))}).status_code == 200
        place(models["second"], models["serving"])
        until(lambda: client.get("/readyz").headers["X-Model-Version"] != version)

        def gone() -> bool:
            gc.collect()
            return first() is None

        until(gone)
