import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from catsdogs.reports import TrainingMetrics
from catsdogs.train.processes import Processes
from catsdogs.train.stage import train
from tests.backbones import write_resnet
from tests.models import train_settings


def test_parts_are_everything_once() -> None:
    for total in (1, 5, 64):
        parts = [range(total)[Processes(rank, 3).part(total)] for rank in range(3)]
        assert [place for part in parts for place in part] == list(range(total))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("variant", [
    "baseline", "fast",
    pytest.param("pretrained", marks=pytest.mark.filterwarnings("ignore")),  # transformers', about its own parts
])
def test_two_processes_train_what_one_does(data_dir: Path, tmp_path: Path, variant: str) -> None:
    # float32: Adam blows up what bfloat16 rounds differently where a batch is shared out
    flags = {"model_variant": variant, "epochs": 2, "batch_size": 8, "learning_rate": 0.001, "precision": "float32"}
    if variant == "baseline":
        flags["teacher"] = str(write_resnet(tmp_path / "resnet", 16))  # its pupil's gradients are summed as well
    if variant == "pretrained":
        flags["model_variant"] = f"pretrained:{write_resnet(tmp_path / 'resnet', 16)}"
    alone = train(train_settings(data_dir, tmp_path / "alone", **flags))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "catsdogs",
               "train", "--data-dir", str(data_dir), "--output-model", str(tmp_path / "two" / "model.pt"),
               "--artifact-dir", str(tmp_path / "two"), "--mlflow-tracking-uri", "none", "--force-cpu",
               *(part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", str(value)))]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
                          timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best epoch") == 1
    two = TrainingMetrics.read(tmp_path / "two" / "metrics.json", "train")
    assert len(two.history) == 2
    states = [torch.load(path, weights_only=True)["weights"] for path in (alone.model, tmp_path / "two" / "model.pt")]
    if variant != "fast":
        assert all(torch.allclose(states[0][name], states[1][name], atol=2e-4) for name in states[0])
        assert two.history[0].train_loss == pytest.approx(alone.metrics.history[0].train_loss, abs=1e-3)
    else:  # normalisation sees half a batch in each process, so that only the outcome is alike
        assert two.history[-1].train_loss == pytest.approx(alone.metrics.history[-1].train_loss, abs=0.15)
