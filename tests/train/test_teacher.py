"""A pretrained network whose features are learned beside the labels: a small random one, and the one at hand."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from catsdogs.errors import CatsdogsError
from catsdogs.job.record import digest_of_training
from catsdogs.nets.registry import build
from catsdogs.packed import PackedPhotos, open_packed
from catsdogs.reports import TrainingMetrics
from catsdogs.settings.job import JobSettings
from catsdogs.train.stage import train
from catsdogs.train.teacher import Teacher, ask, distance, pupil
from catsdogs.weights import load_weights
from tests.backbones import write_resnet
from tests.models import CPU, colour_photos, train_settings, trained

pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")  # transformers', about its own parts


@pytest.fixture(scope="module")
def photos() -> PackedPhotos:
    return colour_photos()


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_resnet(tmp_path_factory.mktemp("resnet"), 16))


@pytest.fixture(scope="module")
def teacher(photos: PackedPhotos, resnet: str) -> Teacher:
    return ask(resnet, photos.train, CPU)


def test_it_sees_each_photo_and_its_features_are_standardised(photos: PackedPhotos, resnet: str) -> None:
    teacher = ask(resnet, photos.train, CPU)
    count = len(photos.train.labels)
    assert teacher.features.shape == (count, 16)
    network = build(f"pretrained:{resnet}", 2).eval()
    with torch.inference_mode():
        seen = network.pooled(network.maps(torch.from_numpy(np.array(photos.train.pixels)))).numpy()
    expected = (seen - seen.mean(axis=0)) / (seen.std(axis=0) + 1e-3)
    assert np.allclose(teacher.features, expected, atol=0.02)  # they are kept in half precision
    places = np.array([3, 7])
    lesson = teacher.lesson(places)
    assert np.allclose(lesson.hints.numpy(), expected[places], atol=0.02)
    assert np.allclose(lesson.beliefs.sum(dim=1), 1, atol=1e-5)
    assert (teacher.beliefs.argmax(axis=1) == photos.train.labels).mean() > 0.9


def learned(photos: PackedPhotos, teacher: Teacher, epochs: int) -> tuple[float, list[torch.Tensor]]:
    """Mean distance of what a network of so many epochs tells of the training photos, and its weights."""
    torch.manual_seed(1)
    told_by = pupil(build("fast", 2), teacher, 16)
    done = trained(photos, epochs, variant="fast", teacher=teacher, pupil=told_by)
    with torch.inference_mode():
        network = done.network.eval()
        told = told_by(network.pooled(network.maps(torch.from_numpy(np.array(photos.train.pixels)))))
        count = len(photos.train.labels)
        hints = teacher.lesson(np.arange(count)).hints
    return float(distance(told, hints)) / count, list(done.network.state_dict().values())


def test_what_it_sees_is_learned_and_changes_the_network(photos: PackedPhotos, teacher: Teacher) -> None:
    before, _ = learned(photos, teacher, 1)
    after, weights = learned(photos, teacher, 12)
    assert after < 0.7 * before
    _, again = learned(photos, teacher, 12)
    assert all(torch.equal(one, other) for one, other in zip(weights, again, strict=True))
    alone = trained(photos, 12, variant="fast").network.state_dict().values()
    assert not all(torch.equal(one, other) for one, other in zip(weights, alone, strict=True))


def test_the_trained_model_is_the_network_alone_and_names_its_teacher(
    data_dir: Path, tmp_path: Path, resnet: str
) -> None:
    result = train(train_settings(data_dir, tmp_path, model_variant="fast", teacher=resnet))
    network, card = load_weights(result.model)
    assert card.lineage.parameters["teacher"] == resnet
    assert network.state_dict().keys() == build("fast", 2).state_dict().keys()
    assert TrainingMetrics.read(tmp_path / "artifacts" / "metrics.json", "train").model_variant == "fast"


@pytest.mark.parametrize("without", ["", "del os.posix_fallocate"])  # some systems have none
def test_a_full_disk_is_said_and_kills_nobody(tmp_path: Path, without: str) -> None:
    """Written into a mapped file that has no room, features would end the process with SIGBUS."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    code = (f"import os\n{without}\nfrom catsdogs.cli import guarded\nfrom catsdogs.train.teacher import _room\n"
            "def work():\n    _room(1000, 1000)[:] = 1\n    return 0\n"
            "raise SystemExit(guarded('train', work))")
    try:
        done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(tmp_path)},
                              capture_output=True, text=True, timeout=120)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"catsdogs train: The disk is full ({tmp_path})")


def test_one_that_is_not_there_is_named(photos: PackedPhotos, tmp_path: Path) -> None:
    with pytest.raises(CatsdogsError, match="holds no backbone in safetensors files"):
        ask(str(tmp_path), photos.train, CPU)


def test_one_that_is_damaged_is_named(photos: PackedPhotos, resnet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catsdogs.train.sight.features",
                        lambda network, photos, places, device: [np.full((len(places), 16), np.nan, np.float32)])
    with pytest.raises(CatsdogsError, match="answers photos with what is no number"):
        ask(resnet, photos.train, CPU)


def test_a_pupil_may_take_photos_of_one_size_only(photos: PackedPhotos, teacher: Teacher) -> None:
    network = build("baseline", 2)
    maps = network.maps

    def of_one_size(pixels: torch.Tensor, *, blocked: bool = False) -> torch.Tensor:
        assert pixels.shape[1] == 16
        return maps(pixels, blocked=blocked)

    network.maps = of_one_size  # type: ignore[method-assign]
    assert pupil(network, teacher, 16).out_features == teacher.width


def test_a_model_with_another_teacher_is_another_model(data_dir: Path) -> None:
    one, other = (digest_of_training(JobSettings(bucket="b", teacher=name), data_dir)
                  for name in ("", "efficientnet-lite0"))
    assert one != other
    assert open_packed(data_dir).about.image_size == 16
