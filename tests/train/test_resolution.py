from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from catsdogs.ingest.stage import ingest
from catsdogs.nets.fast import REDUCTION
from catsdogs.nets.quantised.learning import learn_integers
from catsdogs.nets.quantised.served import served
from catsdogs.nets.registry import build
from catsdogs.packed import open_packed
from catsdogs.predictor import load_predictor
from catsdogs.preprocess.stage import preprocess
from catsdogs.settings.data import IngestSettings, PreprocessSettings
from catsdogs.train import prepare, resolution
from catsdogs.train.interruption import Stopped
from catsdogs.train.keeper import Keeper
from catsdogs.train.recipe import RECIPES
from catsdogs.train.reserve import Divided
from catsdogs.train.result import TrainResult
from catsdogs.train.stage import train
from catsdogs.weights import load_weights
from tests.models import CPU, colour_photos, train_settings
from tests.photos import write_raw

FAST = RECIPES["fast"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A processed folder of photos of 96 px, which can be halved."""
    folder = tmp_path_factory.mktemp("large")
    ingest(IngestSettings(source_dir=write_raw(folder / "raw", 30), output_dir=folder / "ingested", workers=1))
    preprocess(PreprocessSettings(input_dir=folder / "ingested", output_dir=folder / "processed", image_size=96,
                                  train_ratio=0.6, val_ratio=0.2, workers=1))
    return folder / "processed"


@pytest.mark.parametrize(("side", "by"), [
    (16, [1]), (64, [1]), (96, [1, 2]), (112, [1, 2]), (224, [1, 2, 4]), (180, [1, 2, 3]), (101, [1]),
])
def test_photos_are_made_smaller_by_whole_numbers_and_not_below_what_shows_an_animal(side: int, by: list[int]) -> None:
    assert list(resolution.reductions(side)) == by


def test_the_largest_resolution_is_chosen_that_the_budget_has_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 224 px, a photo of 56 takes 1 ms: learning from one 4.5, a sixteenth of what one of 224 takes."""
    photos = colour_photos()
    photos = replace(photos, about=photos.about.model_copy(update={"image_size": 224}), val=replace(
        photos.val, pixels=np.repeat(np.repeat(photos.val.pixels, 14, axis=1), 14, axis=2)))
    seen = []

    def seconds(network: object, some: object, device: object) -> float:
        seen.append(some.pixels.shape[1])  # type: ignore[attr-defined]
        return 0.001

    monkeypatch.setattr(resolution, "seconds_a_photo", seconds)
    monkeypatch.setattr(resolution, "seconds_alive", lambda: 1.0)
    shares = 0.55 / 0.5**2 + 0.45 / 0.75**2  # photos of phases at half and at three quarters of the side, to whole ones
    of_whole = len(photos.train.labels) * resolution.EPOCHS * 16 * 0.0045 / shares / resolution.SHARE

    def chosen(budget: float, processes: int = 1) -> int:
        return resolution.fitting(build("fast", 2), FAST, photos, CPU, budget, processes)

    assert [chosen(1 + of_whole * share) for share in (1.01, 0.99, 0.26, 0.24, 0.01)] == [1, 2, 2, 4, 4]
    assert chosen(1 + of_whole * 0.51, processes=2) == 1
    assert set(seen) == {56}, "the smallest is the quickest to measure"


def test_a_network_makes_smaller_what_it_is_asked_about_and_not_what_it_learns_from() -> None:
    torch.manual_seed(0)
    network, pixels = build("fast", 2), torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    halves = pixels.float().reshape(4, 16, 2, 16, 2, 3).mean(dim=(2, 4))
    with torch.inference_mode():
        expected = network.eval()(halves)
        network.description = {REDUCTION: 2}
        assert torch.allclose(network(pixels), expected, atol=1e-5)
        assert network.maps(pixels).shape[2:] == (1, 1)
        assert network.train().maps(halves).shape[2:] == (1, 1)
        learn_integers(network, pixels.numpy(), pixels.numpy())  # still in training, as a training leaves it
        assert network.description[REDUCTION] == 2 and served(network).maps(pixels).shape[2:] == (1, 1)
        assert (served(network)(pixels) - expected).abs().max() < 0.05


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", None])
def test_a_description_that_makes_no_sense_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="reduction"):
        build("fast", 2, {REDUCTION: wrong})


def test_a_training_with_a_budget_ends_with_a_model_of_what_was_chosen(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the command to the file that is served; a training that was stopped goes on at the resolution it had."""
    monkeypatch.setattr(prepare, "fitting", lambda *_: 2)
    sides = set()
    get = prepare.TrainingBatches.get
    monkeypatch.setattr(prepare.TrainingBatches, "get", lambda self, epoch, number, side: sides.add(side) or get(
        self, epoch, number, side))
    settings = train_settings(large, tmp_path, model_variant="fast", time_budget=60.0, learning_rate=0.002)
    monkeypatch.setattr(prepare, "divided", lambda *_, **__: Divided(4.0))
    due = Keeper.due
    with monkeypatch.context() as stopped, pytest.raises(Stopped):
        stopped.setattr(Keeper, "due", lambda keeper: setattr(keeper.interruption, "asked", True) or due(keeper))
        train(settings)
    monkeypatch.setattr(prepare, "fitting", lambda *_: pytest.fail("it was measured again"))
    result = train(settings)
    assert sides == {48, 24, 32}, "for the first weights whole ones; half and three quarters of them, in steps of 8"
    network, card = load_weights(settings.output_model)
    assert network.reduction == 2 and card.image_size == 96
    photos = open_packed(large)
    pixels = np.array(photos.test.pixels)
    with torch.inference_mode():
        expected = (served(network)(torch.from_numpy(pixels)) / card.temperature).softmax(1).numpy()
    answers = load_predictor(settings.output_model.with_suffix(".onnx"), exact=True)
    assert np.abs(np.concatenate([answers.probabilities(pixels[place:place + 1]) for place in range(len(pixels))])
                  - expected).max() < 0.01
    assert isinstance(result, TrainResult) and result.metrics.accuracy.count == len(pixels)
    loss = -np.log(expected[np.arange(len(pixels)), photos.test.labels]).mean()
    assert result.metrics.log_loss == pytest.approx(loss, abs=0.01), "the figures are of the model that is served"
