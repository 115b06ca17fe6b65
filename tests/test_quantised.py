from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from catsdogs import integers
from catsdogs.compiled import Way
from catsdogs.errors import CatsdogsError, ModelRefused
from catsdogs.export import export
from catsdogs.integers import HIGHEST_WEIGHT
from catsdogs.nets.network import MEAN, Network
from catsdogs.nets.pretrained import Pretrained
from catsdogs.nets.quantised import layers
from catsdogs.nets.quantised.layers import Convolution, Rounded
from catsdogs.nets.quantised.network import STEPS, Quantised
from catsdogs.nets.quantised.served import quantised, served
from catsdogs.nets.quantised.learning import learn_integers
from catsdogs.nets.quantised.steps import step
from catsdogs.nets.registry import build
from catsdogs.packed import Packed, PackedPhotos, open_packed
from catsdogs.predictor import Predictor, load_predictor
from catsdogs.train.initial import fit_head
from catsdogs.train.stage import train
from catsdogs.weights import WeightsCard, load_plain, load_weights, save_plain, save_weights
from tests.backbones import write_resnet
from tests.models import CLASSES, CPU, LINEAGE, SIZE, train_settings, trained


LITE0 = "pretrained:efficientnet-lite0"
ACTIVATIONS = {"baseline": 2, "fast": 8, LITE0: 48}
ARITHMETIC = {"baseline": "int8", "fast": "int7", LITE0: "int8"}
CONVOLUTIONS = {"baseline": 3, "fast": 12, LITE0: 49}


@pytest.fixture(scope="module", params=["baseline", "fast", LITE0])
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", name="photos")
def enlarged(variant: str, photos: PackedPhotos) -> PackedPhotos:
    """Lite0 makes one place of 32 pixels."""
    times = 4 if variant == LITE0 else 1

    def larger(split: Packed) -> Packed:
        return replace(split, pixels=split.pixels.repeat(times, axis=1).repeat(times, axis=2))

    return replace(photos, train=larger(photos.train), val=larger(photos.val), test=larger(photos.test),
                   about=photos.about.model_copy(update={"image_size": SIZE * times}))


@pytest.fixture(scope="module")
def network(variant: str, photos: PackedPhotos) -> Iterator[Network]:
    if variant != LITE0:
        network = trained(photos, epochs=6, variant=variant, learning_rate=0.002).network
    else:
        network = build(variant, 2)
        assert isinstance(network, Pretrained)
        fit_head(network, photos.train, CPU, most=1000)
    learn_integers(network.eval(), photos.train.pixels, photos.val.pixels)
    yield network


@pytest.fixture
def written(variant: str, network: Network, photos: PackedPhotos, tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    save_weights(path, network, WeightsCard(
        variant=variant, classes=CLASSES, image_size=photos.about.image_size, description=network.description,
        temperature=1.1, metrics={"test_accuracy": 1.0}, lineage=LINEAGE))
    return path


def logits(network: torch.nn.Module, photos: PackedPhotos) -> np.ndarray:
    with torch.inference_mode():
        answered: np.ndarray = network(torch.from_numpy(np.array(photos.test.pixels))).numpy()
    return answered


def test_in_integers_the_network_answers_nearly_the_same(
    variant: str, network: Network, photos: PackedPhotos
) -> None:
    """Lite0's many layers add more, to photos of noise that its backbone has never seen anything like."""
    floats, integers = logits(network, photos), logits(served(network), photos)
    most = {"baseline": 0.01, "fast": 0.1, LITE0: 0.3}[variant]
    assert 0 < np.abs(floats - integers).mean() < most * np.abs(floats).mean()
    assert (floats.argmax(1) == integers.argmax(1)).all()


def test_every_convolution_is_given_whole_steps_and_has_whole_weights(
    variant: str, network: Network, photos: PackedPhotos
) -> None:
    rounded = served(network)
    assert isinstance(rounded, Quantised) and rounded.arithmetic == ARITHMETIC[variant]
    seen: list[tuple[Rounded, torch.Tensor]] = []
    for part in rounded.modules():
        if isinstance(part, Rounded):
            part.register_forward_hook(lambda part, _, values: seen.append((part, values / part.step)))
        elif isinstance(part, Convolution):
            levels = part.weight / part.scales[:, None, None, None]
            assert (levels - levels.round()).abs().max() < 1e-3
            assert 1 < levels.abs().max() < HIGHEST_WEIGHT[rounded.arithmetic] + 0.5
    logits(rounded, photos)
    assert len(seen) == ACTIVATIONS[variant]
    for part, values in seen:
        assert (values - values.round()).abs().max() < 1e-3
        assert part.lowest - 0.5 < values.min() and values.max() < part.highest + 0.5
        assert len(values.unique()) > 10


@pytest.mark.parametrize("side", [16, 37, 50])
def test_folded_layers_are_the_ones_they_replace_at_any_size(
    variant: str, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With steps so small that nothing is rounded."""
    monkeypatch.setattr(layers, "HIGHEST_WEIGHT", dict.fromkeys(HIGHEST_WEIGHT, 10**6))
    monkeypatch.setattr(layers, "PIXEL_ZERO", 255 * MEAN)
    torch.manual_seed(0)
    network = build(variant, 3, {"model_type": "efficientnet-lite0"} if variant == LITE0 else None)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias)
    pixels = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    network(pixels)  # so that every normalisation has seen values
    network.eval().requires_grad_(False)
    folded = quantised(network)
    assert folded is not None
    maps = network.maps(pixels), folded.maps(pixels)
    assert torch.allclose(*maps, atol=1e-3 * float(maps[0].abs().max()))
    assert torch.allclose(network(pixels), folded(pixels), atol=1e-2)
    assert torch.allclose(network.evidence(maps[0]), folded.evidence(maps[0]))


def test_what_is_exported_is_what_torch_computes(
    network: Network, photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded = served(network)
    here = logits(rounded, photos)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    assert np.allclose(here, logits(rounded, photos), atol=0.02)


def test_autocast_does_not_reach_into_the_integers(network: Network, photos: PackedPhotos) -> None:
    rounded = served(network)
    pixels = torch.from_numpy(np.array(photos.test.pixels))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert rounded.maps(pixels).dtype == torch.float32


def test_steps_follow_the_photos_and_cut_off_what_is_rare() -> None:
    torch.manual_seed(0)
    assert step(torch.rand(10_000), Rounded()) == pytest.approx(1 / 255, rel=0.05)
    bells = torch.randn(1_000_000)
    assert 0.6 < step(bells.abs(), Rounded()) * 255 / bells.abs().max() < 0.95
    assert 0.6 < step(bells, Rounded(signed=True)) * 127 / bells.abs().max() < 0.95
    below = -torch.rand(10_000)
    assert step(below, Rounded(signed=True)) == pytest.approx(1 / 128, rel=0.05)
    assert step(torch.zeros(10), Rounded()) > 0


def test_the_engine_computes_in_integers_as_torch_does(variant: str, written: Path, photos: PackedPhotos) -> None:
    path, difference = export(written, photos.val, seen=photos.train)
    assert difference < 0.05
    network, _ = load_weights(written)
    expected = logits(served(network), photos)
    for exact in (False, True):
        predictor = load_predictor(path, exact=exact)
        assert predictor.card.arithmetic == ARITHMETIC[variant]
        predictor.check_golden()
        pixels = np.array(photos.test.pixels)
        assert np.abs(predictor.logits(pixels) - expected).mean() < 0.05
        # Of any number the engine may round a tie otherwise than of one, which moved a logit by 0.011 (with AMX).
        alone = np.concatenate([predictor.logits(photo[None]) for photo in pixels])
        assert predictor.takes_together()
        for some in (pixels[:4], pixels[:3], pixels[:5], pixels[1:3]):
            answers = predictor.answers(np.split(some, len(some)))
            expected_ones = [predictor.answer(photo[None]) for photo in some]
            for answer, one in zip(answers, expected_ones, strict=True):
                assert answer.probabilities == pytest.approx(one.probabilities, abs=1e-6)
        assert np.abs(alone - expected).mean() < 0.05


def test_pixels_of_another_shape_are_not_stretched_to_fit(written: Path, photos: PackedPhotos) -> None:
    path, _ = export(written, photos.val)
    with pytest.raises(ValueError, match="for a network of"):
        load_predictor(path).logits(np.array(photos.test.pixels[:1, :, :, :1]))


def test_the_engine_leaves_no_convolution_in_floats(
    variant: str, written: Path, photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that seems to mean the same may cost half of the speed: a level of pixels that the engine optimises away
    left the first convolution in float32."""
    path, _ = export(written, photos.val)
    monkeypatch.setattr(integers, "are_exact", lambda _: True)  # on any processor: nothing is answered here
    running = load_predictor(path)._engine._compile(Way(evidence=False, photos=1)).get_runtime_model()
    kinds = [(str(part.get_rt_info()["layerType"].astype(str)),
              str(part.get_rt_info()["runtimePrecision"].astype(str)))
             for part in running.get_ordered_ops()]
    precisions = [precision for kind, precision in kinds if kind == "Convolution"]
    assert len(precisions) == CONVOLUTIONS[variant] and set(precisions) <= {"u8", "i8"}


@pytest.mark.parametrize("name", ["logits", "evidence"])
def test_an_engine_that_answers_with_no_number_is_not_exported(
    name: str, written: Path, photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = Predictor.outputs
    monkeypatch.setattr(Predictor, "outputs", lambda self, pixels: {
        output: values * (np.nan if output == name else 1) for output, values in outputs(self, pixels).items()})
    with pytest.raises(CatsdogsError, match="torch and the engine differ by .* not exported"):
        export(written, photos.val)


def test_an_engine_that_computes_otherwise_is_not_exported(
    written: Path, photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where it is wrong about one photo only."""
    outputs = Predictor.outputs

    def wrong(self: Predictor, pixels: np.ndarray) -> dict[str, np.ndarray]:
        answers = outputs(self, pixels)
        answers["logits"][0, 0] += 5 * max(1.0, float(answers["logits"].std()))
        return answers

    monkeypatch.setattr(Predictor, "outputs", wrong)
    with pytest.raises(CatsdogsError, match="torch and the engine differ by .* not exported"):
        export(written, photos.val)
    assert not written.with_suffix(".onnx").exists()


def test_the_same_network_is_exported_in_floats_too(
    variant: str, network: Network, photos: PackedPhotos, tmp_path: Path
) -> None:
    """What meets the 8-bit weights of its kinds stays in floats."""
    description = {name: value for name, value in network.description.items() if name != STEPS}
    save_weights(tmp_path / "model.pt", network, WeightsCard(
        variant=variant, classes=CLASSES, image_size=photos.about.image_size, description=description,
        temperature=1.1, metrics={"test_accuracy": 1.0}, lineage=LINEAGE))
    path, difference = export(tmp_path / "model.pt", photos.val, seen=photos.train)
    assert difference < 1e-3 and load_predictor(path).card.arithmetic == "float"
    assert load_predictor(path).card.familiarity is not None


def test_what_a_backbone_was_trained_to_tell_apart_stays_in_integers(
    variant: str, written: Path, photos: PackedPhotos
) -> None:
    """An exporter that works constants out makes floats of them, which take four times as long to read."""
    path, _ = export(written, photos.val, seen=photos.train)
    stored = onnx.load(path).graph.initializer
    integers, floats = ([list(tensor.dims) for tensor in stored if tensor.data_type == kind]
                        for kind in (onnx.TensorProto.INT8, onnx.TensorProto.FLOAT))
    assert integers == ([[1000, 1280]] if variant == LITE0 else [])
    assert [1000, 1280] not in floats and [1280, 1000] not in floats


def test_the_weights_of_model_pt_stay_as_they_were_trained(network: Network, written: Path) -> None:
    loaded, card = load_weights(written)
    assert type(loaded) is type(network) and loaded.description == network.description == card.description
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), network.state_dict().values(),
                                                 strict=True))


@pytest.mark.parametrize("steps", [[], [0.1] * 7, [0.1] * 47 + [0.0], [0.1] * 7 + [float("nan")], ["a"] * 8, 3,
                                   [0.1, -0.1]])
def test_steps_that_do_not_fit_are_refused(written: Path, steps: object) -> None:
    content = load_plain(written)
    content["card"]["description"][STEPS] = steps
    save_plain(written, content)
    with pytest.raises(ModelRefused, match="was not written by catsdogs"):
        load_weights(written)


@pytest.mark.parametrize(("quantise", "arithmetic"), [(True, "int7"), (False, "float")])
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


def test_a_network_that_is_not_served_in_integers_stays_as_it_is(
    photos: PackedPhotos, tmp_path_factory: pytest.TempPathFactory
) -> None:
    network = build(f"pretrained:{write_resnet(tmp_path_factory.mktemp('resnet'), 16)}", 2)
    before = dict(network.description)
    learn_integers(network, photos.train.pixels, photos.val.pixels)
    assert network.description == before and served(network) is network
