"""The short form of benchmarks/soak_training.py."""

import signal
from pathlib import Path

import pytest

from tests.models import train_settings
from tests.train.kills import Moment, ended, hunted, same_model, start, undisturbed


def test_killed_anywhere_and_started_again_it_ends_with_the_same_weights_to_the_bit(
    data_dir: Path, tmp_path: Path
) -> None:
    """Saving after every step, so that some of the kills meet a checkpoint that is being written."""
    whole, killed = (train_settings(data_dir, tmp_path / name, model_variant="fast", epochs=8, batch_size=8)
                     for name in ("whole", "killed"))
    steps = undisturbed(whole, tmp_path / "whole.txt")
    met = hunted(killed, tmp_path, 5, steps, kills=4, save_seconds=0.0)
    assert same_model(whole.output_model, killed.output_model), met
    assert '"resumed"' in (tmp_path / "said.txt").read_text()
    assert not list(killed.artifact_dir.glob("checkpoint*")), "a finished training leaves no checkpoint"


@pytest.mark.parametrize("save_seconds", [0.0, None])
def test_killed_in_its_validations_it_ends_with_the_same_weights_to_the_bit(
    data_dir: Path, tmp_path: Path, save_seconds: float | None
) -> None:
    """What the hunt above hardly ever meets: validating these few photos takes less time than a signal.

    Going on from the step before the validation, or from the epoch before it, where nothing was saved in between.
    """
    whole, killed = (train_settings(data_dir, tmp_path / name, model_variant="fast", epochs=5, batch_size=8)
                     for name in ("whole", "killed"))
    said = tmp_path / "said.txt"
    moments: list[tuple[int, Moment]] = [(1, "before"), (2, "within"), (2, "after")]
    undisturbed(whole, tmp_path / "whole.txt")
    for dies in moments:
        assert ended(start(killed, said, save_seconds, dies), said) == -signal.SIGKILL, said.read_text()
    assert ended(start(killed, said, save_seconds), said) == 0, said.read_text()
    assert said.read_text().count('"resumed"') == (3 if save_seconds == 0 else 2)
    assert same_model(whole.output_model, killed.output_model)
