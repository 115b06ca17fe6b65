"""Small backbones with random weights, saved locally: that they load, train, export and answer, not how well."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from catsdogs.cli import main
from catsdogs.errors import CatsdogsError, ModelRefused, UsageError
from catsdogs.nets.pretrained import Pretrained, from_hub
from catsdogs.nets.quantised.served import served
from catsdogs.nets.registry import build
from catsdogs.packed import open_packed
from catsdogs.predictor import load_predictor
from catsdogs.reports import TrainingMetrics
from catsdogs.settings.training import LITE0
from catsdogs.train import prepare, reserve
from catsdogs.train.initial import fit_head
from catsdogs.train.prepare import HEAD_SHARE
from catsdogs.train.processes import ALONE
from catsdogs.train.recipe import recipe_for
from catsdogs.train.reserve import LEAST_FITTED, MARGIN, divided
from catsdogs.train.stage import train
from catsdogs.train.validation import LEARNING, answers
from catsdogs.weights import load_weights
from tests.backbones import write_resnet
from tests.models import CPU, colour_photos, train_settings

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")  # transformers', about its own parts


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_resnet(tmp_path_factory.mktemp("resnet"), 16)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit")
    config = transformers.ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                                    image_size=16, patch_size=4)
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["resnet", "vit", "efficientnet-lite0"])
def test_it_is_trained_exported_and_answers_without_transformers(
    kind: str, data_dir: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder: Path | str = LITE0 if kind == LITE0 else request.getfixturevalue(kind)
    result = train(train_settings(data_dir, tmp_path, model_variant=f"pretrained:{folder}"))
    metrics = TrainingMetrics.read(tmp_path / "artifacts" / "metrics.json", "train")
    assert metrics.model_variant == f"pretrained:{folder}" and len(metrics.history) == 2
    predictor = load_predictor(result.model)
    predictor.check_golden()
    network, card = load_weights(result.model)  # built again from model.pt alone
    assert card.description["model_type"] == kind
    photos = np.zeros((2, 16, 16, 3), np.uint8)
    with torch.inference_mode():
        expected = served(network)(torch.from_numpy(photos)).numpy()
    apart = np.abs(load_predictor(result.model, exact=True).logits(photos) - expected).max()
    assert apart < (0.05 if kind == LITE0 else 1e-3)  # in integers a rounding error may be a whole step
    # Of its kind: of noise and of blanks a network of integers may see nothing at all, and says the same of each.
    different = np.array(open_packed(data_dir).train.pixels[::6])
    answer = load_predictor(result.model, exact=True).outputs(different)
    apart = answer["logits"] - answer["evidence"].sum(axis=(2, 3))  # what the biases alone make: the same for all
    assert np.abs(apart - apart[0]).max() < 1e-3 < np.ptp(answer["logits"], axis=0).max()


def test_the_weights_of_the_backbone_are_used_and_its_own_normalisation(resnet: Path) -> None:
    network = from_hub(str(resnet), 2)
    stored = transformers.ResNetModel.from_pretrained(resnet).state_dict()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in network.backbone.state_dict().items())
    white = network.scaled(torch.full((1, 4, 4, 3), 255, dtype=torch.uint8))
    assert torch.allclose(white, torch.full_like(white, 2.0))


def test_the_head_begins_as_a_regression_on_what_the_backbone_sees(resnet: Path) -> None:
    photos, network = colour_photos(), build(f"pretrained:{resnet}", 2)
    assert isinstance(network, Pretrained)
    before = {name: tensor.clone() for name, tensor in network.backbone.state_dict().items()}
    fit_head(network, photos.train, CPU, most=1000)
    logits = answers(network, photos.val, CPU)
    assert (logits.argmax(1) == photos.val.labels).all(), "red and blue, which any backbone tells apart"
    after = network.backbone.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())


def test_damaged_weights_of_a_backbone_are_named(resnet: Path) -> None:
    network = build(f"pretrained:{resnet}", 2)
    assert isinstance(network, Pretrained)
    next(iter(network.backbone.parameters())).data.fill_(float("nan"))
    with pytest.raises(CatsdogsError, match="weights of the backbone are damaged"):
        fit_head(network, colour_photos().train, CPU, most=1000)


def test_a_time_budget_limits_the_photos_that_the_head_is_fitted_to(
    resnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "crowding", lambda: 2.0)
    monkeypatch.setattr(prepare.sight, "seconds", lambda network, photos, device: 0.01)
    network, photos = build(f"pretrained:{resnet}", 2), colour_photos()
    assert prepare._head_photos(60, network, photos, CPU, 1) == HEAD_SHARE * 60 / 0.02
    assert prepare._head_photos(60, network, photos, CPU, 2) == HEAD_SHARE * 60 / 0.01, "each looks at its part"
    assert prepare._head_photos(None, network, photos, CPU, 1) == prepare.HEAD_PHOTOS


@pytest.mark.parametrize(("variant", "taken"), [("pretrained", False), ("fast", True)])
def test_a_network_whose_head_is_fitted_needs_few_steps(
    resnet: Path, monkeypatch: pytest.MonkeyPatch, variant: str, taken: bool
) -> None:
    """A tenth of the budget is left: of no use to a network that has learned nothing yet."""
    monkeypatch.setattr(reserve, "_reserve", lambda *_: (80.0, 1.0))
    monkeypatch.setattr(reserve, "seconds_alive", lambda: 9.5)
    monkeypatch.setattr(reserve, "Answering", lambda *_, **__: None)
    network = build(f"pretrained:{resnet}" if variant == "pretrained" else variant, 2)
    settings = train_settings(Path(), Path(), time_budget=100)
    if taken:
        with pytest.raises(UsageError, match="--time-budget 100s is too short here"):
            divided(settings, network, colour_photos(), CPU)
    else:
        assert divided(settings, network, colour_photos(), CPU).left == pytest.approx(10.2)


@pytest.mark.parametrize("a_step", [0.0, 8.0])
def test_the_budget_that_a_refusal_names_is_not_refused_again(
    resnet: Path, monkeypatch: pytest.MonkeyPatch, a_step: float
) -> None:
    """Though fitting the head takes a share of it, however long it is, and a step must fit."""
    network, photos, budget = build(f"pretrained:{resnet}", 2), colour_photos(), 0.0
    validation = a_step / LEARNING / 8 * MARGIN * len(photos.val.labels)
    monkeypatch.setattr(reserve, "_reserve", lambda *_: (30.0, validation))
    monkeypatch.setattr(reserve, "Answering", lambda *_, **__: None)
    monkeypatch.setattr(reserve, "seconds_alive", lambda: 8 + HEAD_SHARE * budget)

    def left(seconds: float) -> float | None:
        nonlocal budget
        budget = seconds
        settings = train_settings(Path(), Path(), time_budget=budget, batch_size=8)
        return divided(settings, network, photos, CPU, taken=HEAD_SHARE).left

    with pytest.raises(UsageError, match="--time-budget 40s is too short here") as refused:
        left(40)
    named = float(re.search(r"at least (\d+)s", str(refused.value))[1])  # type: ignore[index]
    assert left(named) >= max(LEAST_FITTED * named, a_step)  # type: ignore[operator]
    with pytest.raises(UsageError):
        left(named - 1.01)


def test_a_head_that_is_fitted_to_all_photos_takes_no_share_of_a_longer_budget(
    resnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, photos = build(f"pretrained:{resnet}", 2), colour_photos()
    assert isinstance(network, Pretrained)
    every = len(photos.train.labels)
    for count, share in ((every, 0.0), (every - 8, HEAD_SHARE)):
        monkeypatch.setattr(prepare, "_head_photos", lambda *_, count=count: count)
        assert prepare._fit_head(network, photos, CPU, 60, ALONE) == share


def test_a_backbone_that_cannot_be_served_is_told_before_its_training(
    resnet: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catsdogs.answering.traced", lambda *_: b"nothing that the engine reads")
    monkeypatch.setattr(prepare, "fit_head", lambda *arguments: pytest.fail("the head was fitted"))
    with pytest.raises(CatsdogsError, match="cannot be turned into an ONNX file.*name another one"):
        prepare.prepare(train_settings(data_dir, tmp_path, model_variant=f"pretrained:{resnet}"), ALONE)


def test_a_run_that_goes_on_does_not_fit_the_head_again(
    resnet: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = train_settings(data_dir, tmp_path, model_variant=f"pretrained:{resnet}", resume=True)
    prepare.prepare(settings, ALONE).checkpoint.save({})
    monkeypatch.setattr(prepare, "fit_head", lambda *arguments: pytest.fail("the head was fitted again"))
    assert prepare.prepare(settings, ALONE).state is not None
    with pytest.raises(pytest.fail.Exception):
        prepare.prepare(settings.model_copy(update={"seed": 7}), ALONE)


def test_layers_near_the_photo_learn_least_and_the_backbone_keeps_its_statistics(resnet: Path) -> None:
    network, recipe = build(f"pretrained:{resnet}", 2), recipe_for(f"pretrained:{resnet}")
    assert isinstance(network, Pretrained)
    (optimiser,) = recipe.optimisers(network, 0.1)
    rates = [group["lr"] for group in optimiser.param_groups]
    assert rates[0] == pytest.approx(0.01) and rates[-1] == pytest.approx(0.01) and rates[1] == pytest.approx(0.001)
    assert rates[1:] == sorted(rates[1:])
    before = {name: tensor.clone() for name, tensor in network.backbone.state_dict().items()}
    learned = dict(network.backbone.named_parameters())
    network.train()
    network(torch.randint(0, 256, (8, 16, 16, 3), dtype=torch.uint8)).square().sum().backward()
    optimiser.step()
    for name, tensor in network.backbone.state_dict().items():
        assert torch.equal(tensor, before[name]) == (name not in learned), name


def test_a_backbone_for_photos_of_another_size_names_the_repair(
    vit: Path, data_dir: Path, tmp_path: Path
) -> None:
    from catsdogs.preprocess.stage import preprocess
    from catsdogs.settings.data import PreprocessSettings

    large = tmp_path / "large"
    preprocess(PreprocessSettings(input_dir=data_dir.parent / "ingested", output_dir=large, image_size=24,
                                  train_ratio=0.6, val_ratio=0.2, workers=1))
    with pytest.raises(UsageError, match="does not take photos of 24 px: preprocess with --image-size 16"):
        train(train_settings(large, tmp_path, model_variant=f"pretrained:{vit}"))


def test_without_a_backbone_it_says_what_it_needs(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    empty = tmp_path / "empty"
    empty.mkdir()
    for name, words in ((str(empty), "holds no backbone"), ("nobody/nothing", "neither a folder nor to be had")):
        arguments = ["train", "--data-dir", str(data_dir), "--mlflow-tracking-uri", "none", "--output-model",
                     str(tmp_path / "m.pt"), "--artifact-dir", str(tmp_path / "a"), "--model-variant",
                     f"pretrained:{name}"]
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # or it tries for 20 s
        assert main(arguments) == 1
        error = capsys.readouterr().err
        assert words in error and "hf download" in error and "Traceback" not in error


def test_pickled_weights_are_not_opened(resnet: Path, tmp_path: Path) -> None:
    for path in resnet.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save(transformers.ResNetModel.from_pretrained(resnet).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(CatsdogsError, match="holds no backbone in safetensors files"):
        from_hub(str(tmp_path), 2)


@pytest.mark.parametrize("description", [{"model_type": "nonsense"}, {"model_type": "resnet", "hidden_sizes": "x"}, {}])
def test_a_model_that_describes_no_network_is_refused(
    description: dict[str, object], resnet: Path, data_dir: Path, tmp_path: Path
) -> None:
    result = train(train_settings(data_dir, tmp_path, epochs=1))
    content = torch.load(result.model, weights_only=True)
    content["card"] |= {"variant": f"pretrained:{tmp_path}/nowhere", "description": description}
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(ModelRefused):
        load_weights(tmp_path / "odd.pt")
