"""The test photos must be new to the challenger: what other split refuses it, and which only looks like another."""

from pathlib import Path
from typing import Any

import pytest

from catsdogs.artifacts import Lineage, Preprocessed
from catsdogs.cli import main
from catsdogs.errors import UsageError
from catsdogs.gate.report import Check
from catsdogs.gate.stage import GateResult, gate
from catsdogs.preprocess.stage import preprocess
from catsdogs.settings.data import PreprocessSettings
from catsdogs.settings.gate import GateSettings
from catsdogs.train.stage import train
from tests.gate.processed import model, processed_photos
from tests.models import train_settings
from tests.tiny_model import SIZE

Named = dict[str, str | int | float | bool | None]
SPLIT: Named = {"split_seed": 42, "train_ratio": 0.2, "val_ratio": 0.1}  # of processed_photos


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return processed_photos(tmp_path_factory.mktemp("split"))


def trained(folder: Path, splits_digest: str = "s", split: Named | None = None, **changes: Any) -> Path:
    """A model whose lineage names a split: that of the photos, but for what `split` replaces."""
    return model(folder, lineage=Lineage(manifest_digest="m", splits_digest=splits_digest, commit=None, versions={},
                                         parameters=SPLIT | (split or {})), **changes)


def judged(data_dir: Path, challenger: Path, champion: Path | None = None) -> GateResult:
    return gate(GateSettings(challenger=challenger, champion=champion, data_dir=data_dir, max_calibration_error=0.5,
                             min_accuracy=0.5, min_slice_accuracy=0, output_json=challenger.parent / "gate.json"))


def check(result: GateResult, name: str) -> Check:
    (found,) = [check for check in result.report.checks if check.name == name]
    return found


@pytest.mark.parametrize("split", [{"split_seed": 7}, {"train_ratio": 0.3}, {"val_ratio": 0.2}])
def test_a_challenger_of_another_split_is_refused_and_the_repair_is_named(
    split: Named, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = trained(tmp_path, split=split)
    words = [word for key, value in (SPLIT | split).items() for word in (f"--{key}", str(value))]
    flags = " ".join(words).replace("--split_", "--").replace("_", "-")
    with pytest.raises(UsageError, match=f"may have learned the test photos: preprocess with `{flags}`"):
        judged(data_dir, other)
    assert main(["gate", "--challenger", str(other), "--data-dir", str(data_dir)]) == 2
    assert f"than {data_dir} holds (seed 42, ratios 0.2 and 0.1)" in capsys.readouterr().err


def test_data_that_grew_since_the_training_keep_their_split(data_dir: Path, tmp_path: Path) -> None:
    """A photo's split depends on seed, ratios and its content alone: more photos are another digest, and no leak."""
    result = judged(data_dir, trained(tmp_path, splits_digest="of fewer photos"))
    assert result.passed and "the split that the challenger was trained on" in check(result, "unseen").text


def test_the_same_photos_in_the_same_splits_are_one_split_whatever_made_it(data_dir: Path, tmp_path: Path) -> None:
    about = Preprocessed.read(data_dir / Preprocessed.FILE_NAME, "preprocess")
    assert judged(data_dir, trained(tmp_path, splits_digest=about.splits_digest, split={"split_seed": 7})).passed


def test_a_model_of_before_does_not_say_its_split_and_still_works(data_dir: Path, tmp_path: Path) -> None:
    result = judged(data_dir, model(tmp_path / "new"), model(tmp_path / "old", model_digest="a" * 64))
    assert result.passed and "does not say which split" in check(result, "unseen").text


def test_a_champion_of_another_split_is_told_and_passes_only_what_beats_its_advantage(
    data_dir: Path, tmp_path: Path
) -> None:
    champion = trained(tmp_path / "champion", split={"split_seed": 7}, model_digest="a" * 64)
    note = "the champion was trained on another split (seed 7, ratios 0.2 and 0.1)"
    repair = "preprocess with `--seed 7 --train-ratio 0.2 --val-ratio 0.1` (`catsdogs job` takes the seed)"
    equal = judged(data_dir, trained(tmp_path / "equal"), champion)
    assert equal.passed and note in equal.text() and repair in equal.text()
    worse = judged(data_dir, trained(tmp_path / "worse", biased=1.2), champion)
    assert note in worse.report.reasons[0] and repair in worse.report.reasons[0]
    assert "another split" not in judged(data_dir, trained(tmp_path / "next"), tmp_path / "equal/model.onnx").text()


def test_preprocessing_anew_with_another_seed_after_the_training(tmp_path: Path) -> None:
    """The whole way, with a model of `catsdogs train`: most of the new test photos are ones that it learned."""
    data = processed_photos(tmp_path / "data", per_class=40)
    train(train_settings(data, tmp_path, epochs=1))
    asked = GateSettings(challenger=tmp_path / "models/model.onnx", data_dir=data, output_json=tmp_path / "gate.json",
                         min_accuracy=0, min_slice_accuracy=0, max_calibration_error=1)
    assert gate(asked).passed
    preprocess(PreprocessSettings(input_dir=data.parent / "ingested", output_dir=data, image_size=SIZE,
                                  train_ratio=0.2, val_ratio=0.1, seed=7, workers=1))
    with pytest.raises(UsageError, match="was trained on another split"):
        gate(asked)
