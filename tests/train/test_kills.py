"""The short form of benchmarks/soak_training.py, and what one real command says when it is stopped."""

from pathlib import Path

import pytest

from tests.models import train_settings
from tests.train.kills import hunted, same_model, undisturbed


@pytest.mark.parametrize("save_seconds", [None, 0.0])
def test_killed_anywhere_and_started_again_it_ends_with_the_same_weights_to_the_bit(
    data_dir: Path, tmp_path: Path, save_seconds: float | None
) -> None:
    settings = train_settings(data_dir, tmp_path / "whole", model_variant="fast", epochs=8, batch_size=8)
    (tmp_path / "killed").mkdir()
    seconds = undisturbed(settings, tmp_path / "said.txt")
    killed = train_settings(data_dir, tmp_path / "killed", model_variant="fast", epochs=8, batch_size=8)
    met = hunted(killed, tmp_path / "killed", 5, seconds, kills=3, terms=1, save_seconds=save_seconds)
    assert met[0]["signal"] != "none", "it ended before the first signal"
    assert same_model(settings.output_model, killed.output_model), met
    assert not list(killed.artifact_dir.glob("checkpoint*")), "a finished training leaves no checkpoint"
