"""The short form of benchmarks/soak_training.py."""

from pathlib import Path

from tests.models import train_settings
from tests.train.kills import hunted, same_model, undisturbed


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
