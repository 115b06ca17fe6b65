import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from catsdogs.packed import PackedPhotos
from catsdogs.reports import TrainingMetrics
from catsdogs.train.batches import TrainingBatches
from catsdogs.train.processes import Processes
from catsdogs.train.stage import train
from tests.backbones import write_resnet
from tests.models import SIZE, train_settings


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
        assert two.history[-1].val_loss == pytest.approx(alone.metrics.history[-1].val_loss, abs=1e-3)
    else:  # normalisation sees half a batch in each process, so that only the outcome is alike
        assert two.history[-1].train_loss == pytest.approx(alone.metrics.history[-1].train_loss, abs=0.15)
        assert two.history[-1].val_loss == pytest.approx(alone.metrics.history[-1].val_loss, abs=0.15)


def test_every_part_of_a_batch_and_every_piece_of_a_step_shows_all_classes(photos: PackedPhotos) -> None:
    """The split is sorted by class; batch normalisation goes by what it sees together."""
    train = photos.train
    assert np.array_equal(train.labels, np.sort(train.labels))
    for count in (1, 2):
        for rank in range(count):
            batches = TrainingBatches(train, 32, 1, processes=Processes(rank, count))
            for number in range(len(batches) - 1):
                _, labels = batches.get(1, number, SIZE)
                for piece in labels.split(16):
                    assert 0.1 < piece.float().mean() < 0.9


def test_what_normalisation_has_seen_is_the_same_in_all_processes_and_of_all_photos(tmp_path: Path) -> None:
    """One process sees zeros and the other ones: together 0.5 on average."""
    script = tmp_path / "both.py"
    script.write_text(
        "import torch\n"
        "from catsdogs.train.processes import joined\n"
        "with joined(on_gpu=False) as processes:\n"
        "    network = torch.nn.BatchNorm2d(3, momentum=1.0)\n"
        "    network(torch.full((4, 3, 2, 2), float(processes.rank))).sum().backward()\n"
        "    processes.sum_gradients(network)\n"
        "    print(f'saw {network.running_mean.tolist()} {network.bias.grad.tolist()}\\n', end='', flush=True)\n"
        "    network.eval()\n"
        "    processes.sum_gradients(network)\n"
        "    print(f'left {network.running_mean.tolist()}\\n', end='', flush=True)\n"
        "    torch.manual_seed(processes.rank)\n"
        "    begun = torch.nn.Linear(1, 1)\n"
        "    processes.alike(begun)\n"
        "    print(f'begins {begun.weight.item():.6f}\\n', end='', flush=True)\n")
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
                           str(script)], env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("saw [0.5, 0.5, 0.5] [32.0, 32.0, 32.0]") == 2
    assert done.stdout.count("left [0.5, 0.5, 0.5]") == 2
    torch.manual_seed(0)
    assert done.stdout.count(f"begins {torch.nn.Linear(1, 1).weight.item():.6f}") == 2


@pytest.mark.parametrize("rank", [0, 1])
def test_sigterm_in_one_process_gives_up_a_validation_and_all_go_on_together(
    data_dir: Path, tmp_path: Path, rank: int
) -> None:
    """A machine that is taken away tells its own processes alone: the others learn of it where they wait."""
    stopped = tmp_path / "stopped.py"
    stopped.write_text(
        "import os, signal, sys\n"
        "from catsdogs.cli import main\n"
        "from catsdogs.train import validation\n"
        "batches = validation.evaluation_batches\n"
        "def told(*arguments):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    yield next(batches(*arguments))\n"
        "    raise AssertionError('the validation went on')\n"
        f"if os.environ['RANK'] == '{rank}':\n"
        "    validation.evaluation_batches = told\n"
        "status = main(sys.argv[1:])\n"
        "print(f'left {os.environ[\"RANK\"]} {status}\\n', end='', flush=True)\n")

    def two(*start: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *start, "train",
             "--data-dir", str(data_dir), "--output-model", str(tmp_path / "model.pt"), "--artifact-dir",
             str(tmp_path / "a"), "--mlflow-tracking-uri", "none", "--force-cpu", "--epochs", "1",
             "--batch-size", "16"],
            env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240)

    told = two(str(stopped))
    assert "left 0 143" in told.stdout and "left 1 143" in told.stdout, told.stderr
    gone_on = two("-m", "catsdogs")
    assert gone_on.returncode == 0 and "resumed" in gone_on.stderr, gone_on.stderr
    assert len(TrainingMetrics.read(tmp_path / "a" / "metrics.json", "train").history) == 1
