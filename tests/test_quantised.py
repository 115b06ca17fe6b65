from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from catsdogs.compiled import Way
from catsdogs.errors import ModelRefused
from catsdogs.export import export
from catsdogs.nets import quantised as module
from catsdogs.nets.fast import Fast
from catsdogs.nets.network import MEAN
from catsdogs.nets.quantised import STEPS, Convolution, Quantised, Rounded, learn_steps, served
from catsdogs.nets.registry import build
from catsdogs.packed import PackedPhotos, open_packed
from catsdogs.predictor import load_predictor
from catsdogs.train.stage import train
from catsdogs.weights import WeightsCard, load_plain, load_weights, save_plain, save_weights
from tests.models import CLASSES, LINEAGE, SIZE, train_settings, trained


@pytest.fixture(scope="module")
def network(photos: PackedPhotos) -> Iterator[Fast]:
    network = trained(photos, epochs=6, variant="fast", learning_rate=0.002).network.eval()
    learn_steps(network, photos.train.pixels)
    assert isinstance(network, Fast)
    yield network


@pytest.fixture
def written(network: Fast, tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    save_weights(path, network, WeightsCard(
        variant="fast", classes=CLASSES, image_size=SIZE, description=network.description, temperature=1.1,
        metrics={"test_accuracy": 1.0}, lineage=LINEAGE))
    return path


def logits(network: torch.nn.Module, photos: PackedPhotos) -> np.ndarray:
    with torch.inference_mode():
        answered: np.ndarray = network(torch.from_numpy(np.array(photos.test.pixels))).numpy()
    return answered


def test_in_integers_the_network_answers_nearly_the_same(network: Fast, photos: PackedPhotos) -> None:
    floats, integers = logits(network, photos), logits(served(network), photos)
    assert 0 < np.abs(floats - integers).max() < 0.1 * np.abs(floats).max()
    assert (floats.argmax(1) == integers.argmax(1)).all()


def test_every_convolution_is_given_whole_steps_and_has_whole_weights(network: Fast, photos: PackedPhotos) -> None:
    quantised = served(network)
    seen: list[torch.Tensor] = []
    for part in quantised.modules():
        if isinstance(part, Rounded):
            part.register_forward_hook(lambda part, _, values: seen.append(values / part.step))
        elif isinstance(part, Convolution):
            levels = part.weight / part.scales[:, None, None, None]
            assert (levels - levels.round()).abs().max() < 1e-3 and levels.abs().max() < 127.5
    logits(quantised, photos)
    assert len(seen) == 10
    for values in seen:
        assert (values - values.round()).abs().max() < 1e-3 and 0 <= values.min() and values.max() < 255.5
        assert len(values.unique()) > 10


@pytest.mark.parametrize("side", [16, 37, 50])
def test_folded_layers_are_the_ones_they_replace_at_any_size(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With steps so small that nothing is rounded."""
    monkeypatch.setattr(module, "HIGHEST_WEIGHT", 10**6)
    monkeypatch.setattr(module, "PIXEL_ZERO", 255 * MEAN)
    torch.manual_seed(0)
    network = build("fast", 3)
    assert isinstance(network, Fast)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias)
    pixels = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    network(pixels)  # so that every normalisation has seen values
    network.eval().requires_grad_(False)
    quantised = Quantised(network).eval()
    maps = network.maps(pixels), quantised.maps(pixels)
    assert torch.allclose(*maps, atol=1e-3 * float(maps[0].abs().max()))
    assert torch.allclose(network(pixels), quantised(pixels), atol=1e-2)
    assert torch.allclose(network.evidence(maps[0]), quantised.evidence(maps[0]))


def test_what_is_exported_is_what_torch_computes(
    network: Fast, photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantised = served(network)
    here = logits(quantised, photos)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    assert np.allclose(here, logits(quantised, photos), atol=0.02)


def test_autocast_does_not_reach_into_the_integers(network: Fast, photos: PackedPhotos) -> None:
    quantised = served(network)
    pixels = torch.from_numpy(np.array(photos.test.pixels))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(quantised.maps(pixels), quantised.maps(pixels).float())


def test_steps_follow_the_photos_and_cut_off_what_is_rare() -> None:
    torch.manual_seed(0)
    assert module._step(torch.rand(10_000)) == pytest.approx(1 / 255, rel=0.05)
    bells = torch.randn(1_000_000).abs()
    assert 0.6 < module._step(bells) * 255 / bells.max() < 0.95
    assert module._step(torch.zeros(10)) > 0


def test_the_engine_computes_in_integers_as_torch_does(written: Path, photos: PackedPhotos) -> None:
    path, difference = export(written, photos.val, seen=photos.train)
    assert difference < 0.05
    network, _ = load_weights(written)
    expected = logits(served(network), photos)
    for exact in (False, True):
        predictor = load_predictor(path, exact=exact)
        assert predictor.card.arithmetic == "int8"
        predictor.check_golden()
        together = predictor.logits(np.array(photos.test.pixels))
        alone = np.concatenate([predictor.logits(np.array(photo[None])) for photo in photos.test.pixels])
        assert np.abs(together - expected).max() < 0.05 and np.abs(together - alone).max() < 1e-4


def test_the_engine_leaves_no_convolution_in_floats(written: Path, photos: PackedPhotos) -> None:
    """A change that seems to mean the same may cost half of the speed: a level of pixels that the engine optimises away
    left the first convolution in float32."""
    path, _ = export(written, photos.val)
    running = load_predictor(path)._engine._compile(Way(evidence=False, single=True)).get_runtime_model()
    kinds = [(str(part.get_rt_info()["layerType"].astype(str)), str(part.get_rt_info()["runtimePrecision"].astype(str)))
             for part in running.get_ordered_ops()]
    precisions = [precision for kind, precision in kinds if kind == "Convolution"]
    assert len(precisions) == 14 and set(precisions) <= {"u8", "i8"}


def test_the_weights_of_model_pt_stay_as_they_were_trained(network: Fast, written: Path) -> None:
    loaded, card = load_weights(written)
    assert isinstance(loaded, Fast) and loaded.description == network.description == card.description
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), network.state_dict().values(),
                                                 strict=True))


@pytest.mark.parametrize("steps", [[], [0.1] * 9, [0.1] * 9 + [0.0], [0.1] * 9 + [float("nan")], ["a"] * 10, 3])
def test_steps_that_do_not_fit_are_refused(written: Path, steps: object) -> None:
    content = load_plain(written)
    content["card"]["description"] = {STEPS: steps}
    save_plain(written, content)
    with pytest.raises(ModelRefused, match="was not written by catsdogs"):
        load_weights(written)


@pytest.mark.parametrize(("quantise", "arithmetic"), [(True, "int8"), (False, "float")])
def test_the_figures_of_a_training_are_of_what_is_served(
    data_dir: Path, tmp_path: Path, quantise: bool, arithmetic: str
) -> None:
    result = train(train_settings(data_dir, tmp_path, model_variant="fast", learning_rate=0.002, precision="float32",
                                  quantise=quantise))
    predictor, test = load_predictor(result.model, exact=True), open_packed(data_dir).test
    assert predictor.card.arithmetic == arithmetic
    probabilities = predictor.probabilities(np.array(test.pixels))
    assert (probabilities.argmax(1) == test.labels).mean() == result.metrics.test_accuracy
    loss = -np.log(probabilities[np.arange(len(test.labels)), test.labels]).mean()
    assert loss == pytest.approx(result.metrics.log_loss, abs=5e-3)


def test_a_network_that_is_not_served_in_integers_stays_as_it_is(photos: PackedPhotos) -> None:
    network = build("baseline", 2)
    learn_steps(network, photos.train.pixels)
    assert network.description == {} and served(network) is network
