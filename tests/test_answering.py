"""The engine's answers about many photos, beside torch's."""

from typing import Any

import numpy as np
import pytest
import torch

from catsdogs import answering as module
from catsdogs import integers
from catsdogs.answering import Answering
from catsdogs.compiled import Compiled
from catsdogs.errors import CatsdogsError
from catsdogs.nets.network import Network
from catsdogs.nets.quantised.served import served
from catsdogs.nets.quantised.learning import learn_integers
from catsdogs.nets.registry import build
from catsdogs.packed import PackedPhotos
from tests.models import SIZE, trained


@pytest.fixture(scope="module")
def network(photos: PackedPhotos) -> Network:
    return trained(photos, epochs=2, variant="baseline").network.eval()


def by_torch(network: Network, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        features = network.pooled(network.maps(torch.from_numpy(np.ascontiguousarray(pixels))))
        return network.head(features).numpy(), features.numpy()


def test_it_answers_what_torch_does_photo_by_photo(network: Network, photos: PackedPhotos) -> None:
    pixels = np.array(photos.train.pixels)  # 80: three batches
    answers = Answering(network, SIZE, exact=True).about(pixels)
    logits, features = by_torch(network, pixels)
    assert np.allclose(answers.logits, logits, atol=1e-4) and np.allclose(answers.features, features, atol=1e-4)
    assert np.ptp(logits, axis=0).min() > 0.01, "photos that are answered alike would show no order"


def test_places_and_mirror_images(network: Network, photos: PackedPhotos) -> None:
    pixels, places = np.array(photos.train.pixels), np.array([70, 3, 41])
    engine = Answering(network, SIZE, exact=True)
    logits, _ = by_torch(network, pixels[places])
    assert np.allclose(engine.about(pixels, places).logits, logits, atol=1e-4)
    mirrored, _ = by_torch(network, pixels[:, :, ::-1])
    assert np.allclose(engine.logits(pixels, mirrored=True), mirrored, atol=1e-4)
    assert not np.allclose(engine.logits(pixels), mirrored, atol=1e-4)


def test_integers_that_a_processor_gets_wrong_are_not_used(
    photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = trained(photos, epochs=2, variant="fast", learning_rate=0.002).network.eval()
    learn_integers(network, photos.train.pixels, photos.val.pixels)
    pixels = np.array(photos.val.pixels)
    expected, _ = by_torch(served(network), pixels)
    usual = Answering(served(network), SIZE).logits(pixels)
    assert np.abs(usual - expected).mean() < 0.05
    assert np.array_equal(Answering(served(network), SIZE, exact=True).logits(pixels), usual), (
        "float32 is for networks in floats: integers are what is served")
    made = []

    def compiled(*arguments: Any, **named: Any) -> Compiled:
        made.append(Compiled(*arguments, **named))
        return made[-1]

    monkeypatch.setattr(module, "Compiled", compiled)
    for exact, expected_of in ((False, True), (True, False)):
        monkeypatch.setattr(integers, "are_exact", lambda _, exact=exact: exact)
        Answering(served(network), SIZE)
        assert made[-1].is_exact == expected_of


def test_a_network_that_no_engine_reads_is_said_to_be_one(
    photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "traced", lambda *_: b"no ONNX file")
    with pytest.raises(CatsdogsError, match="cannot be turned into an ONNX file that the engine reads"):
        Answering(build("baseline", 2), SIZE)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_memory_that_is_gone_is_not_taken_for_a_network_that_cannot_be_read(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To name another network would not help; to lower the batch may."""
    def gone(*_: Any) -> bytes:
        raise error

    monkeypatch.setattr(module, "traced", gone)
    with pytest.raises(type(error)):
        Answering(build("baseline", 2), SIZE)
