import json
from pathlib import Path

import pytest

from catsdogs.errors import UsageError
from catsdogs.train import auto
from catsdogs.train.auto import chosen
from tests.models import train_settings


def test_every_network_is_tried_for_its_share_and_the_best_is_taken(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = train_settings(data_dir, tmp_path, model_variant="auto", time_budget=10.0)
    settled = chosen(settings)
    found = json.loads((settings.artifact_dir / "auto.json").read_text())
    assert found["val_accuracy"].keys() == {"baseline", "wider", "fast"}
    assert settled.model_variant == found["chosen"]
    assert found["val_accuracy"][settled.model_variant] == max(found["val_accuracy"].values())
    assert not list((settings.artifact_dir / "auto").glob("checkpoint*")), "trials leave nothing to go on from"

    def again(*_: object) -> float:
        raise AssertionError("it chooses again")

    monkeypatch.setattr(auto, "_accuracy", again)
    assert chosen(settings).model_variant == settled.model_variant
    with pytest.raises(AssertionError, match="it chooses again"):
        chosen(settings.model_copy(update={"seed": 7}))
    (settings.artifact_dir / "auto.json").write_text("damaged")
    with pytest.raises(AssertionError, match="it chooses again"):
        chosen(settings)


def test_the_one_with_the_highest_accuracy_wins(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = {"baseline": 0.6, "wider": 0.9, "fast": 0.7}
    monkeypatch.setattr(auto, "_accuracy", lambda settings, seconds: accuracies[settings.model_variant])
    settings = train_settings(data_dir, tmp_path, model_variant="auto", time_budget=10.0)
    assert chosen(settings).model_variant == "wider"


def test_it_needs_a_time(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --time-budget"):
        chosen(train_settings(data_dir, tmp_path, model_variant="auto"))


def test_a_named_network_is_left_alone(data_dir: Path, tmp_path: Path) -> None:
    settings = train_settings(data_dir, tmp_path, model_variant="fast")
    assert chosen(settings) is settings
