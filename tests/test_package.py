from pathlib import Path

import pytest

from catsdogs.errors import CatsdogsError
from catsdogs.package import package
from catsdogs.predictor import load_predictor
from catsdogs.settings.training import PackageSettings
from catsdogs.train.stage import train
from tests.models import train_settings


def test_package_repeats_the_export(data_dir: Path, tmp_path: Path) -> None:
    trained = train(train_settings(data_dir, tmp_path, epochs=1))
    before = load_predictor(trained.model).card
    trained.model.with_suffix(".onnx").unlink()
    result = package(PackageSettings(model_path=trained.model, data_dir=data_dir))
    assert load_predictor(trained.model).card == before
    assert result.largest_difference < 1e-3 and result.golden_photos == len(before.golden)
    assert result.version in result.text()


def test_package_refuses_photos_that_do_not_fit(data_dir: Path, tmp_path: Path, model_path: Path) -> None:
    with pytest.raises(CatsdogsError, match=r"was trained on \['cat', 'dog'\] at 16 px"):
        package(PackageSettings(model_path=model_path, data_dir=data_dir))
