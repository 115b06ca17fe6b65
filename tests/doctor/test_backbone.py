"""Labels judged by the features of a backbone: a small random one, which tells red from blue as any does."""

from pathlib import Path

import numpy as np
import pytest

from catsdogs.doctor.backbone import SIDE, load, out_of_fold
from catsdogs.errors import CatsdogsError
from catsdogs.log import progress
from tests.backbones import write_resnet
from tests.models import colour_photo

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")  # transformers', about its own parts


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_resnet(tmp_path_factory.mktemp("resnet"), 64)


def photos() -> tuple["np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", "np.ndarray[tuple[int], np.dtype[np.int64]]"]:
    shown = np.arange(160) % 2
    return np.stack([colour_photo(int(label), number) for number, label in enumerate(shown)]), shown


def test_wrong_labels_get_the_least_belief(resnet: Path) -> None:
    network, side = load(str(resnet))
    assert side == SIDE
    pixels, labels = photos()
    given = labels.copy()
    given[:8] = 1 - given[:8]
    with progress("labels", 1) as bar:
        answers = out_of_fold(network, pixels, given, np.arange(160) // 2 % 4, classes=2, bar=bar)
    own = answers[np.arange(160), given]
    assert set(np.argsort(own)[:8]) == set(range(8))
    assert answers.sum(axis=1) == pytest.approx(1, abs=1e-4)


def test_a_photo_is_never_judged_by_what_saw_it(resnet: Path) -> None:
    network, _ = load(str(resnet))
    pixels, shown = photos()
    parts = np.arange(160) // 80
    labels = np.where(parts == 0, shown, 1 - shown)  # the other fold teaches the opposite
    with progress("labels", 1) as bar:
        answers = out_of_fold(network, pixels, labels, parts, classes=2, bar=bar)
    assert (answers.argmax(axis=1) == labels).mean() < 0.1


def test_a_backbone_of_one_size_sees_photos_of_that_size(tmp_path: Path) -> None:
    config = transformers.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
                                    image_size=32, patch_size=8)
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    assert load(str(tmp_path))[1] == 32


def test_a_folder_without_a_backbone_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatsdogsError, match="holds no backbone in safetensors files"):
        load(str(tmp_path))
